import pMap from "p-map";

/**
 * Longest part of a list whose calls wait for the call budget together, at up to two calls each. The first call of another
 * user waits behind them, and has patience for eight. The patience of the rest of the list begins with their turn.
 */
export const mostAtOnce = 3;

/** Maps a list with calls to Kinde, a few at once and in order. After a failure, no further ones begin. */
export function fewAtOnce<Item, Result>(
  items: readonly Item[],
  call: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  return pMap(items, call, { concurrency: mostAtOnce });
}
