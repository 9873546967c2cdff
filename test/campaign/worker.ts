import { createPlayer, elapsed, type Outcome } from "./play.ts";
import { type ActionName, type Step, scheduleOf } from "./schedule.ts";
import { shrink } from "./shrink.ts";

/** A seed to play. */
export interface Order {
  seed: number;
  /** Plays it again at another pace of real time, and compares the traces. */
  twice: boolean;
  /** The actions to choose from; none for all. */
  only: readonly ActionName[];
  /** Most schedules to play to make a failing one smaller. */
  mostShrinkRuns: number;
}

/** The result of a seed. */
export interface Report extends Pick<Outcome, "violation" | "roundTrips" | "faults"> {
  seed: number;
  ms: number;
  steps: number;
  /** The steps that are left of a failing schedule. */
  minimized: readonly Step[] | undefined;
}

/** Plays one seed after the other, as the parent process sends them. */
const player = await createPlayer();

async function play({ seed, twice, only, mostShrinkRuns }: Order): Promise<Report> {
  const steps = scheduleOf(seed, only);
  const started = elapsed();
  const lines: string[] = [];
  const options = twice ? { onLine: (line: string) => void lines.push(line) } : {};
  const { violation, trace, roundTrips, faults } = await player.play(seed, steps, options);
  const ms = elapsed() - started;
  const report = { seed, roundTrips, faults, ms, steps: steps.length };
  if (!twice && violation === undefined) return { ...report, violation, minimized: undefined };
  const linesAgain: string[] = [];
  const again = await player.play(seed, steps, { slow: true, onLine: (line) => void linesAgain.push(line) });
  if (again.trace !== trace) {
    const at = lines.findIndex((line, index) => line !== linesAgain[index]);
    const detail = `Two runs of seed ${seed} differ: ${lines[at] ?? trace} and ${linesAgain[at] ?? again.trace}`;
    return { ...report, violation: { promise: "seeds replay exactly", detail }, minimized: undefined };
  }
  if (violation === undefined) return { ...report, violation, minimized: undefined };
  const replay = (left: readonly Step[]) => player.play(seed, left);
  const search = { steps, promise: violation.promise, play: replay, mostRuns: mostShrinkRuns };
  return { ...report, violation, minimized: await shrink(search) };
}

process.on("message", (order: Order) => {
  play(order).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.once("disconnect", () => void player.close().then(() => process.exit(0)));
process.send?.("ready");
