import fc from "fast-check";

/** One step: an action, the user and choice it applies to, and the delay after the previous step. */
export interface Step<Action extends string> {
  action: Action;
  user: number;
  choice: number;
  afterMs: number;
}

/** Users of one schedule. */
const users = 3;

/**
 * Returns the seeds to play. `KINDLING_TEST_SEEDS` sets how many; `KINDLING_TEST_SEED` selects a single one, to reproduce
 * a failure.
 */
export function seeds(usual: number, first = 1): number[] {
  const { KINDLING_TEST_SEED: only, KINDLING_TEST_SEEDS: count } = process.env;
  if (only) return [Number(only)];
  const wanted = count ? Math.max(1, Number(count)) : usual;
  return Array.from({ length: wanted }, (_, index) => first + index);
}

/** Returns the schedule of a seed, which is deterministic. `weights` sets how often each action occurs. */
export function scheduleOf<Action extends string>(
  seed: number,
  weights: Readonly<Record<Action, number>>,
  length: { minLength: number; maxLength: number },
): Step<Action>[] {
  const actions = Object.keys(weights) as Action[];
  const step: fc.Arbitrary<Step<Action>> = fc.record({
    action: fc.oneof(...actions.map((action) => ({ weight: weights[action], arbitrary: fc.constant(action) }))),
    user: fc.nat(users - 1),
    choice: fc.nat(999),
    afterMs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(20) }),
  });
  return fc.sample(fc.noBias(fc.array(step, { ...length, size: "max" })), { seed, numRuns: 1 })[0] ?? [];
}

/** Plays the seeds across the lanes until one fails, and reports that seed and how to reproduce it. */
export async function playAll(
  file: string,
  list: readonly number[],
  lanes: readonly ((seed: number) => Promise<void>)[],
): Promise<void> {
  const left = [...list];
  const failures: Error[] = [];
  const run = async (lane: (seed: number) => Promise<void>) => {
    for (let seed = left.shift(); seed !== undefined && failures.length === 0; seed = left.shift()) {
      try {
        await lane(seed);
      } catch (cause) {
        failures.push(new SeedFailed(file, seed, cause));
      }
    }
  };
  await Promise.all(lanes.map(run));
  if (failures[0] !== undefined) throw failures[0];
}

class SeedFailed extends Error {
  constructor(file: string, seed: number, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`Seed ${seed} failed. To reproduce it: KINDLING_TEST_SEED=${seed} npx vitest run ${file}\n${reason}`, {
      cause,
    });
    this.name = "SeedFailed";
  }
}
