/**
 * About how many users there are in all, told from how far a walk has come. Kinde tells no total, but ids are random
 * (UUIDs of version 4), so that in a walk in their order the last one says which share of all ids is behind us.
 *
 * @returns `undefined` when the walk does not go in the order of ids, or ids are not of that form
 */
export function estimateTotal(page: readonly string[], done: number): number | undefined {
  const last = page.at(-1);
  const digits = last === undefined ? undefined : /^kp[_:]([0-9a-f]{8})[0-9a-f]{24}$/.exec(last)?.[1];
  if (digits === undefined || !page.every((id, index) => index === 0 || (page[index - 1] ?? "") < id)) return undefined;
  const share = (Number.parseInt(digits, 16) + 1) / 2 ** 32;
  return Math.max(done, Math.round(done / share));
}
