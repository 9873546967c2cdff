import type { Faults, Strike } from "../faults/faults.ts";
import type { DeliveryLog, Job } from "./delivery-log.ts";
import { userOfEvent } from "./events.ts";
import type { Timers } from "./timers.ts";

const MAX_HOLD_MS = 200;

export interface DispatchDeps {
  faults: Faults;
  timers: Timers;
  log: DeliveryLog;
  /** The first attempt and all that follows from it; resolves after the first. */
  start: (job: Job) => Promise<void>;
  /** One more attempt of the same delivery, whatever came of the first. */
  repeat: (job: Job) => Promise<unknown>;
  lose: (job: Job) => void;
}

/** Decides when a delivery sets out, and whether: here it gets lost, late, doubled, or out of order. */
export function createDispatch({ faults, timers, log, start, repeat, lose }: DispatchDeps): (job: Job) => void {
  const reorder = createReorder(timers, start);

  const copy = async (job: Job, copies: number) => {
    const release = log.hold();
    for (let made = 0; made < copies; made += 1) await repeat(job);
    release();
  };
  return (job) => {
    const target = { user: userOfEvent(job.event), eventType: job.event.type };
    if (faults.strike("lose_delivery", target)) return lose(job);
    const copies = faults.strike("duplicate_delivery", target);
    if (copies) void copy(job, copies.fault.copies ?? 1);
    const delay = faults.strike("delay_delivery", target);
    const shuffle = faults.strike("reorder_deliveries", target);
    const go = () => (shuffle ? reorder(job, shuffle) : void start(job));
    if (delay) job.cancelWait = timers.after(delay.draw(delay.fault.ms), go);
    else go();
  };
}

/** Holds deliveries back until enough wait, or have waited long enough, and sends them shuffled. */
function createReorder(timers: Timers, start: (job: Job) => Promise<void>) {
  const held = new WeakMap<Strike<"reorder_deliveries">["memory"], { jobs: Job[]; cancel: () => void }>();

  const release = async ({ memory, random }: Strike<"reorder_deliveries">) => {
    const group = held.get(memory);
    held.delete(memory);
    group?.cancel();
    for (const job of shuffled(group?.jobs ?? [], random)) await start(job);
  };
  return (job: Job, strike: Strike<"reorder_deliveries">): void => {
    const { memory, fault } = strike;
    const group = held.get(memory);
    const jobs = [...(group?.jobs ?? []), job];
    const cancel = group?.cancel ?? timers.after(fault.maxHoldMs ?? MAX_HOLD_MS, () => void release(strike));
    held.set(memory, { jobs, cancel });
    if (jobs.length >= fault.window) void release(strike);
  };
}

function shuffled(jobs: readonly Job[], random: () => number): Job[] {
  return jobs
    .map((job) => ({ job, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ job }) => job);
}
