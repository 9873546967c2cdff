/**
 * Longest part of a list whose calls wait for the call budget together, at up to two calls each. The first call of another
 * user waits behind them, and has patience for eight. The patience of the rest of the list begins with their turn.
 */
export const mostAtOnce = 3;

/** Maps a list with calls to Kinde, a few at once and in order. After a failure, no further ones begin. */
export async function fewAtOnce<Item, Result>(
  items: readonly Item[],
  call: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const index = next++;
      try {
        results[index] = await call(items[index] as Item);
      } catch (error) {
        next = items.length;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: mostAtOnce }, work));
  return results;
}
