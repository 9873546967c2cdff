import type { Delivery, DeliveryState } from "../types.ts";
import type { EventPayload } from "./events.ts";

const KEPT = 10_000;

/** A delivery with the event it carries. */
export interface Job {
  readonly delivery: Delivery;
  readonly event: EventPayload;
  /** Cancels the timer of the next attempt. */
  cancelWait?: () => void;
}

/** Records pending deliveries and the most recent finished ones. */
export interface DeliveryLog {
  add(job: Job): void;
  finish(job: Job, state: Exclude<DeliveryState, "pending">): void;
  list(): Delivery[];
  jobs(): Job[];
  ofEvent(eventId: string): Job[];
  pending(): number;
  /** Keeps `settled` waiting until the returned function is called, for example for a duplicate in flight. */
  hold(): () => void;
  settled(): Promise<void>;
}

export function createDeliveryLog(): DeliveryLog {
  const jobs = new Map<string, Job>();
  const finished = new Set<string>();
  let waiters: (() => void)[] = [];
  let pending = 0;
  let held = 0;

  const wake = () => {
    if (pending + held > 0) return;
    for (const resolve of waiters) resolve();
    waiters = [];
  };
  const forgetOldest = () => {
    const oldest = finished.values().next();
    if (finished.size <= KEPT || oldest.done) return;
    finished.delete(oldest.value);
    jobs.delete(oldest.value);
  };

  return {
    add: (job) => {
      jobs.set(job.delivery.id, job);
      pending += 1;
    },
    finish: (job, state) => {
      if (job.delivery.state !== "pending") return;
      job.delivery.state = state;
      job.cancelWait?.();
      finished.add(job.delivery.id);
      pending -= 1;
      forgetOldest();
      wake();
    },
    list: () => [...jobs.values()].map(({ delivery }) => ({ ...delivery, statuses: [...delivery.statuses] })),
    jobs: () => [...jobs.values()],
    ofEvent: (eventId) => [...jobs.values()].filter(({ event }) => event.event_id === eventId),
    pending: () => pending,
    hold: () => {
      held += 1;
      return () => {
        held -= 1;
        wake();
      };
    },
    settled: () => (pending + held === 0 ? Promise.resolve() : new Promise((resolve) => waiters.push(resolve))),
  };
}
