import type { Reader, ReadResult } from "./types.ts";

/** Adds `stats` to a reader, over Redis or HTTP. */
export function countReads<V extends Record<string, unknown>>(reader: Omit<Reader<V>, "stats">): Reader<V> {
  const answers = { present: 0, missing: 0, deleted: 0, invalid: 0, unavailable: 0 };
  let denied = 0;
  const count = (answer: ReadResult<V>) => {
    answers[answer.status] += 1;
    if (answer.denied.length > 0) denied += 1;
    return answer;
  };
  return {
    ...reader,
    get: async (userId, options) => count(await reader.get(userId, options)),
    getMany: async (userIds) => (await reader.getMany(userIds)).map(count),
    stats: () => ({ answers: { ...answers }, denied }),
  };
}
