import type { Outcome } from "./play.ts";
import type { Step } from "./schedule.ts";

/** Options for {@link shrink}. */
export interface ShrinkOptions {
  steps: readonly Step[];
  /** The promise that the schedule breaks. */
  promise: string;
  play: (steps: readonly Step[]) => Promise<Outcome>;
  mostRuns: number;
}

/** Removes steps for as long as the schedule still breaks the same promise (delta debugging). */
export async function shrink({ steps, promise, play, mostRuns }: ShrinkOptions): Promise<readonly Step[]> {
  let kept = steps;
  let runs = 0;
  const breaks = async (candidate: readonly Step[]) => {
    runs += 1;
    return (await play(candidate)).violation?.promise === promise;
  };
  for (let size = Math.ceil(kept.length / 2); size >= 1 && runs < mostRuns; ) {
    let removed = false;
    for (let start = 0; start < kept.length && runs < mostRuns; ) {
      const candidate = [...kept.slice(0, start), ...kept.slice(start + size)];
      if (await breaks(candidate)) {
        kept = candidate;
        removed = true;
      } else start += size;
    }
    if (!removed) size = size === 1 ? 0 : Math.ceil(size / 2);
  }
  return kept;
}
