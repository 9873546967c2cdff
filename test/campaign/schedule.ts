import { announced, silent } from "./changes.ts";
import { faults } from "./faults.ts";
import { operations } from "./operations.ts";
import type { Scene } from "./scene.ts";
import { createRandom, deriveSeed, type Random } from "./sim/random.ts";

/** One step: an action, its user, and the delay after the step before. */
export interface Step {
  action: ActionName;
  user: number;
  choice: number;
  afterMs: number;
}

export type ActionName = keyof typeof actions;

const actions = { ...announced, ...silent, ...operations, ...faults };

/** Does what a step says. */
export function perform(scene: Scene, step: Step): unknown {
  return (actions[step.action] as (scene: Scene, step: Step) => unknown)(scene, step);
}

/** Names of all actions that are faults. */
export const faultNames = Object.keys(faults) as (keyof typeof faults)[];

/** Names of all actions. */
export const actionNames = Object.keys(actions) as ActionName[];

/**
 * Returns the schedule of a seed. Each schedule draws a few kinds of actions and repeats those: many kinds at once hide
 * each other.
 *
 * @param only The actions to choose from. Default: all
 */
export function scheduleOf(seed: number, only: readonly ActionName[] = []): Step[] {
  const random = createRandom(deriveSeed(seed, "schedule"));
  const some = <T>(list: readonly T[], least: number, most: number): T[] => {
    const left = [...list];
    const wanted = least + random.below(most - least + 1);
    return Array.from({ length: Math.min(wanted, left.length) }, () =>
      left.splice(random.below(left.length), 1),
    ).flat();
  };
  const length = 6 + random.below(25);
  if (only.length > 0) return Array.from({ length }, () => stepOf(random, random.pick(only)));
  const changes = some(Object.keys(announced) as ActionName[], 2, 6);
  const quiet = random.chance(0.3) ? some(Object.keys(silent) as ActionName[], 1, 3) : [];
  const own = some(Object.keys(operations) as ActionName[], 0, 3);
  const wrong = random.chance(0.1) ? [] : some(faultNames as ActionName[], 1, 4);
  return Array.from({ length }, () => {
    const kind = random.next();
    const list = kind < 0.5 ? changes : kind < 0.6 ? quiet : kind < 0.75 ? own : wrong;
    return stepOf(random, random.pick(list.length > 0 ? list : changes));
  });
}

function stepOf(random: Random, action: ActionName): Step {
  const afterMs = random.chance(0.6) ? random.below(15) : random.chance(0.7) ? random.below(400) : random.below(3_000);
  return { action, user: random.below(4), choice: random.below(10_000), afterMs };
}
