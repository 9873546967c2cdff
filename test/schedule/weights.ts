/** Gives every action the same weight. */
export function weigh<Name extends string>(actions: Readonly<Record<Name, unknown>>, weight: number) {
  return Object.fromEntries(Object.keys(actions).map((name) => [name, weight])) as Record<Name, number>;
}
