import { Mismatch } from "./mismatch.ts";
import type { Stage, Step } from "./step.ts";
import { burst } from "./steps/burst.ts";
import { deletion } from "./steps/deletion.ts";
import { handEdit } from "./steps/hand-edit.ts";
import { outage } from "./steps/outage.ts";
import { roleChange } from "./steps/role-change.ts";
import { signUp } from "./steps/sign-up.ts";
import { writeThrough } from "./steps/write-through.ts";

/** What the demo tells, in order. */
export const story: readonly Step[] = [signUp, roleChange, burst, outage, writeThrough, handEdit, deletion];

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
