/** The same weight for each of the actions. */
export function weigh<Name extends string>(actions: Readonly<Record<Name, unknown>>, weight: number) {
  // The names are the actions' own.
  return Object.fromEntries(Object.keys(actions).map((name) => [name, weight])) as Record<Name, number>;
}
