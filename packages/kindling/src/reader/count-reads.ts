import type { ReadResult, ReadStats } from "./types.ts";

/** Counts the answers of a reader. Not a wrapper: a further promise would be most of the cost of a read from memory. */
export function createReadCounts() {
  const answers = { present: 0, missing: 0, deleted: 0, invalid: 0, unavailable: 0 };
  let [cached, denied] = [0, 0];
  return {
    /** Counts an answer and returns it. */
    count<V>(answer: ReadResult<V>): ReadResult<V> {
      answers[answer.status] += 1;
      if (answer.cached) cached += 1;
      if (answer.denied.length > 0) denied += 1;
      return answer;
    },
    stats: (): ReadStats => ({ answers: { ...answers }, cached, denied }),
  };
}
