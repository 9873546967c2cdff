import { EmulatorError } from "../emulator-error.ts";
import { newId } from "../state/random.ts";
import type { Delivery, DeliveryState } from "../types.ts";
import { type AttemptDeps, createAttempts } from "./attempts.ts";
import { createDeliveryLog, type Job } from "./delivery-log.ts";
import { createDispatch } from "./dispatch.ts";
import type { EventPayload } from "./events.ts";
import type { AttemptResult } from "./post.ts";
import { createTimers } from "./timers.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Kinde's delays before each retry. */
const RETRY_DELAYS_MS: readonly number[] = [
  0,
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  HOUR,
  4 * HOUR,
  12 * HOUR,
  12 * HOUR,
  12 * HOUR,
];

/** A webhook is disabled once every attempt has failed for this long. */
const DISABLE_AFTER_MS = 72 * HOUR;

/** Delivers events to webhooks, with retries. */
export interface Deliveries {
  send(event: EventPayload): void;
  list(): Delivery[];
  pending(): number;
  settled(): Promise<void>;
  redeliver(eventId: string): Promise<number>;
  /** Drops the pending deliveries of a webhook. */
  drop(webhookId: string): void;
  close(): void;
}

export function createDeliveries(deps: AttemptDeps & { retryTimeScale: number }): Deliveries {
  const { faults, registry, poster, onEvent, retryTimeScale } = deps;
  const timers = createTimers();
  const log = createDeliveryLog();
  const attempt = createAttempts(deps);
  const failingSince = new Map<string, number>();
  let closed = false;

  const finish = (job: Job, state: Exclude<DeliveryState, "pending">) => {
    const { delivery, event } = job;
    if (delivery.state !== "pending") return;
    log.finish(job, state);
    onEvent({ type: "delivery", eventId: event.event_id, event: event.type, state, attempts: delivery.attempts });
  };

  /** Records a result. Returns true once the webhook has failed long enough to be disabled. */
  const exhausted = (webhookId: string, result: AttemptResult): boolean => {
    if (result === 200) failingSince.delete(webhookId);
    else if (!failingSince.has(webhookId)) failingSince.set(webhookId, performance.now());
    const since = failingSince.get(webhookId);
    return since !== undefined && performance.now() - since >= DISABLE_AFTER_MS * retryTimeScale;
  };

  const tryOnce = async (job: Job): Promise<AttemptResult> => {
    const { webhookId } = job.delivery;
    // Keeps `settled` waiting for this attempt even if a duplicate was acknowledged first.
    const release = log.hold();
    const result = await attempt(job).finally(release);
    if (closed) return result;
    if (result === 200) finish(job, "delivered");
    if (exhausted(webhookId, result) && registry.get(webhookId)?.enabled) {
      failingSince.delete(webhookId);
      registry.disable(webhookId);
      onEvent({ type: "webhook_disabled", webhookId });
    }
    return result;
  };

  const run = async (job: Job, retry = 0): Promise<void> => {
    if (job.delivery.state !== "pending") return;
    const result = await tryOnce(job);
    if (closed || result === 200 || job.delivery.state !== "pending") return;
    const delay = RETRY_DELAYS_MS[retry];
    if (delay === undefined) return finish(job, "failed");
    job.cancelWait = timers.after(delay * retryTimeScale, () => void run(job, retry + 1));
  };

  const dispatch = createDispatch({
    faults,
    timers,
    log,
    start: run,
    repeat: tryOnce,
    lose: (job) => finish(job, "lost"),
  });

  const drop = (webhookId: string) => {
    for (const job of log.jobs()) if (job.delivery.webhookId === webhookId) finish(job, "dropped");
  };

  return {
    send: (event) => {
      if (closed) return;
      const webhooks = registry.subscribedTo(event.type);
      onEvent({ type: "event", eventId: event.event_id, event: event.type, webhooks: webhooks.length });
      for (const { id } of webhooks) {
        const job = newJob(event, id);
        log.add(job);
        dispatch(job);
      }
    },
    list: log.list,
    pending: log.pending,
    settled: log.settled,
    redeliver: async (eventId) => {
      const jobs = log.ofEvent(eventId);
      if (jobs.length === 0)
        throw new EmulatorError("unknown_event", `No delivery of event "${eventId}" is on record.`);
      let last = 0;
      for (const job of jobs) {
        const result = await tryOnce(job);
        last = typeof result === "number" ? result : 0;
      }
      return last;
    },
    drop,
    close: () => {
      closed = true;
      timers.clear();
      poster.close();
      for (const job of log.jobs()) log.finish(job, "dropped");
    },
  };
}

const newJob = (event: EventPayload, webhookId: string): Job => ({
  event,
  delivery: {
    id: newId.delivery(),
    eventId: event.event_id,
    type: event.type,
    webhookId,
    attempts: 0,
    statuses: [],
    state: "pending",
  },
});
