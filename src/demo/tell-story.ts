import { Mismatch } from "./mismatch.ts";
import type { Stage, Step } from "./step.ts";

/**
 * Runs the steps one after the other, and says what came of each and how long it took.
 *
 * @returns whether everything was as promised; ends at the first step where it was not
 */
export async function tellStory(steps: readonly Step[], stage: Stage): Promise<boolean> {
  const { narrator, signal } = stage;
  for (const [index, step] of steps.entries()) {
    signal.throwIfAborted();
    narrator.title(index + 1, step.title);
    const started = performance.now();
    try {
      const conclusion = await step.run(stage);
      narrator.done(conclusion, performance.now() - started);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Mismatch)) throw error;
      narrator.failed(error);
      return false;
    }
  }
  return true;
}
