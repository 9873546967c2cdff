import type { Faults, Strike } from "../faults/faults.ts";
import type { DeliveryLog, Job } from "./delivery-log.ts";
import { userOfEvent } from "./events.ts";
import type { Timers } from "./timers.ts";

const MAX_HOLD_MS = 200;

export interface DispatchDeps {
  faults: Faults;
  timers: Timers;
  log: DeliveryLog;
  /** Makes the first attempt and schedules retries. Resolves after the first attempt. */
  start: (job: Job) => Promise<void>;
  /** Makes one more attempt of the same delivery, without retries. */
  repeat: (job: Job) => Promise<unknown>;
  lose: (job: Job) => void;
}

/** Starts deliveries, after applying faults that lose, delay, duplicate or reorder them. */
export function createDispatch({ faults, timers, log, start, repeat, lose }: DispatchDeps): (job: Job) => void {
  const reorder = createReorder(timers, start);

  const duplicate = async (job: Job, copies: number) => {
    const release = log.hold();
    for (let sent = 0; sent < copies; sent += 1) await repeat(job);
    release();
  };
  return (job) => {
    const target = { user: userOfEvent(job.event), eventType: job.event.type };
    if (faults.strike("lose_delivery", target)) return lose(job);
    const copies = faults.strike("duplicate_delivery", target);
    if (copies) void duplicate(job, copies.fault.copies ?? 1);
    const delay = faults.strike("delay_delivery", target);
    const shuffle = faults.strike("reorder_deliveries", target);
    const go = () => (shuffle ? reorder(job, shuffle) : void start(job));
    if (delay) job.cancelWait = timers.after(delay.draw(delay.fault.ms), go);
    else go();
  };
}

/** Holds deliveries until the window is full or the hold time has passed, then sends them shuffled, one by one. */
function createReorder(timers: Timers, start: (job: Job) => Promise<void>) {
  const held = new WeakMap<Strike<"reorder_deliveries">["memory"], { jobs: Job[]; cancel: () => void }>();

  const oneByOne = async (jobs: readonly Job[]) => {
    for (const job of jobs) await start(job);
  };
  const release = ({ memory, random }: Strike<"reorder_deliveries">) => {
    const group = held.get(memory);
    held.delete(memory);
    group?.cancel();
    const jobs = shuffled(group?.jobs ?? [], random);
    for (const webhookId of new Set(jobs.map(({ delivery }) => delivery.webhookId)))
      void oneByOne(jobs.filter(({ delivery }) => delivery.webhookId === webhookId));
  };
  return (job: Job, strike: Strike<"reorder_deliveries">): void => {
    const { memory, fault } = strike;
    const group = held.get(memory);
    const jobs = [...(group?.jobs ?? []), job];
    const cancel = group?.cancel ?? timers.after(fault.maxHoldMs ?? MAX_HOLD_MS, () => release(strike));
    held.set(memory, { jobs, cancel });
    if (jobs.length >= fault.window) release(strike);
  };
}

function shuffled(jobs: readonly Job[], random: () => number): Job[] {
  return jobs
    .map((job) => ({ job, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ job }) => job);
}
