import { createRandom, deriveSeed, type Random } from "./random.ts";

/** A process of the simulated deployment. Everything it starts carries its name, so that a kill stops all of it. */
export interface Actor {
  readonly name: string;
  readonly random: Random;
  alive: boolean;
  /** Microseconds of simulated time before which nothing of it runs, as after SIGSTOP. */
  stoppedUntil: number;
  /** How far its clock is ahead, in milliseconds. */
  aheadMs: number;
}

/** One thing that happens. Without an actor, it happens outside of all processes. */
interface Happening {
  at: number;
  order: number;
  actor: Actor | undefined;
  run: () => unknown;
  cancelled: boolean;
}

/** Cancels what was scheduled. */
export type Cancel = () => void;

/**
 * The simulated time. What happens is ordered by time, and by the order of scheduling at the same time. One thing happens
 * at a time: the next starts only once no code can run any more, so that the order never depends on this machine.
 */
export interface Timeline {
  /** Microseconds since the epoch. */
  readonly now: number;
  /** The process whose code is running. */
  readonly actor: Actor | undefined;
  /** Number of things that have happened. */
  readonly steps: number;
  createActor(name: string): Actor;
  /** Schedules something for the actor whose code is running, or for the given one. */
  after(micros: number, run: () => unknown, actor?: Actor): Cancel;
  /** Schedules something outside of all processes. */
  outside(micros: number, run: () => unknown): Cancel;
  /** Makes the rest of the current step the actor's: what its code starts is its own. */
  become(actor: Actor): void;
  /** Queues a callback for the end of the current turn, as `setImmediate` does. */
  immediately(run: () => void): Cancel;
  /** Lets things happen until the condition holds. Answers false if the time or the steps run out before. */
  runUntil(condition: () => boolean, limit: { micros: number; steps: number }): Promise<boolean>;
}

/** 2027-01-15, in microseconds. */
export const startOfTime = 1_800_000_000_000_000;

/**
 * Creates the timeline.
 *
 * @param turn resolves once all microtasks have run: the real `setImmediate`
 * @param onStep called after each step
 */
export function createTimeline(seed: number, turn: () => Promise<void>, onStep: () => unknown): Timeline {
  const heap = createHeap();
  let immediates: Happening[] = [];
  let now = startOfTime;
  let order = 0;
  let steps = 0;
  let current: Actor | undefined;

  const schedule = (micros: number, actor: Actor | undefined, run: () => unknown): Cancel => {
    order += 1;
    const happening = { at: now + Math.max(0, Math.round(micros)), order, actor, run, cancelled: false };
    heap.push(happening);
    return () => {
      happening.cancelled = true;
    };
  };
  const perform = async ({ actor, run }: Happening) => {
    current = actor;
    await run();
    await turn();
    while (immediates.length > 0) {
      const waiting = immediates;
      immediates = [];
      for (const next of waiting) {
        if (next.cancelled || next.actor?.alive === false) continue;
        current = next.actor;
        next.run();
        await turn();
      }
    }
    current = undefined;
  };

  return {
    get now() {
      return now;
    },
    get actor() {
      return current;
    },
    get steps() {
      return steps;
    },
    createActor: (name) => ({
      name,
      random: createRandom(deriveSeed(seed, name)),
      alive: true,
      stoppedUntil: 0,
      aheadMs: 0,
    }),
    after: (micros, run, actor = current) => schedule(micros, actor, run),
    outside: (micros, run) => schedule(micros, undefined, run),
    become(actor) {
      current = actor;
    },
    immediately(run) {
      order += 1;
      const happening = { at: now, order, actor: current, run, cancelled: false };
      immediates.push(happening);
      return () => {
        happening.cancelled = true;
      };
    },
    async runUntil(condition, limit) {
      const end = now + limit.micros;
      const last = steps + limit.steps;
      while (!condition()) {
        const next = heap.peek();
        if (steps >= last) return false;
        if (next === undefined || next.at > end) {
          now = end;
          return false;
        }
        heap.pop();
        if (next.cancelled || next.actor?.alive === false) continue;
        if (next.actor !== undefined && next.actor.stoppedUntil > next.at) {
          heap.push({ ...next, at: next.actor.stoppedUntil });
          continue;
        }
        now = next.at;
        steps += 1;
        await perform(next);
        await onStep();
      }
      return true;
    },
  };
}

/** A binary heap, earliest first. */
function createHeap() {
  const items: Happening[] = [];
  const before = (a: Happening, b: Happening) => a.at < b.at || (a.at === b.at && a.order < b.order);
  const at = (index: number) => items[index] as Happening;
  const swap = (a: number, b: number) => {
    const kept = at(a);
    items[a] = at(b);
    items[b] = kept;
  };
  return {
    peek: () => items[0],
    push(item: Happening) {
      items.push(item);
      for (let index = items.length - 1; index > 0; ) {
        const parent = (index - 1) >> 1;
        if (!before(at(index), at(parent))) return;
        swap(index, parent);
        index = parent;
      }
    },
    pop() {
      const last = items.pop();
      if (last === undefined || items.length === 0) return;
      items[0] = last;
      for (let index = 0; ; ) {
        const left = 2 * index + 1;
        const right = left + 1;
        let least = index;
        if (left < items.length && before(at(left), at(least))) least = left;
        if (right < items.length && before(at(right), at(least))) least = right;
        if (least === index) return;
        swap(index, least);
        index = least;
      }
    },
  };
}
