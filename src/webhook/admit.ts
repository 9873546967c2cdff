import type { Redis } from "ioredis";
import { z } from "zod";
import type { Keys } from "../redis/keys.ts";
import { ledgerKeys } from "../redis/ledger.ts";
import { defineScript, noAnswer } from "../redis/script.ts";
import type { FanoutSubject, RefreshQueues } from "../refresh/queues.ts";
import { keepTrace, traceCarrier } from "../trace.ts";
import type { Route } from "./route-event.ts";

/** A verified event and the work it causes. */
export interface RoutedEvent {
  id: string;
  type: string;
  route: Route;
}

/** The outcome of admitting an event. */
export type Admission = "accepted" | "duplicate" | "ignored" | "unknown" | "unroutable";

/** Admits verified events to the ledger and the queues. */
export interface Admissions {
  /** Resolves once the ledger and the queue hold the event's work. Rejects if that is uncertain. */
  admit(event: RoutedEvent): Promise<Admission>;
}

/** Options for {@link createAdmissions}. */
export interface AdmissionsOptions {
  redis: Redis;
  keys: Keys;
  queues: Pick<RefreshQueues, "enqueueRefreshes" | "enqueueFanouts">;
  /**
   * The first event of a user is refreshed at once. Further ones wait until the user has been quiet for `quietMs`, at
   * most `maxMs` in total, so that a burst costs two fetches.
   */
  burst: { quietMs: number; maxMs: number };
  onError: (error: unknown) => void;
}

/** Events per batch. */
const batchSize = 200;
/** Concurrent batches: enough that none waits for another's round trip, few enough that batches fill up under load. */
const maxBatches = 4;

interface LedgerKeys {
  since: string;
  latest: string;
}

interface AdmitInput {
  seenKey: string;
  ticketKey: string;
  countsKey: string;
  users: LedgerKeys;
  fanouts: LedgerKeys;
  events: readonly RoutedEvent[];
}

interface AdmitAnswer {
  duplicate: boolean;
  /** How long something has been outstanding for the event's member; `undefined` if nothing was. */
  outstandingMs: number | undefined;
}

const notOutstanding: AdmitAnswer = { duplicate: false, outstandingMs: undefined };

const admitEvents = defineScript("admit-events", {
  call: ({ seenKey, ticketKey, countsKey, users, fanouts, events }: AdmitInput) => ({
    keys: [seenKey, ticketKey, countsKey, users.since, users.latest, fanouts.since, fanouts.latest],
    args: events.flatMap(({ id, type, route }) => [id, `${admissionOf(route)}:${type}`, ...ledgerArgs(route)]),
  }),
  answer: z.array(
    z
      .int()
      .min(-2)
      .transform(
        (answer): AdmitAnswer => ({ duplicate: answer === -1, outstandingMs: answer < 0 ? undefined : answer }),
      ),
  ),
});

const rememberEvents = defineScript("remember-events", {
  call: ({ seenKey, ids }: { seenKey: string; ids: readonly string[] }) => ({ keys: [seenKey], args: ids }),
  answer: noAnswer,
});

interface PendingEvent {
  event: RoutedEvent;
  /** The event's trace, for its job: a batch holds events of many requests. */
  trace: string | undefined;
  inTrace: ReturnType<typeof keepTrace>;
  resolve: (admission: Admission) => void;
  reject: (error: unknown) => void;
}

/**
 * Creates the entry point for events. A batch takes two round trips, whatever its size: first the ledger, which also
 * detects duplicates, then the queue. The ledger's answer decides what to enqueue, so one round trip is not enough.
 *
 * Event ids are remembered in a third round trip that nobody waits for. It must come last: if it is lost, a redelivery
 * costs one fetch, but an id remembered before its work is queued could lose the event. Likewise, only so many ids are
 * remembered: a redelivery after that costs a fetch.
 */
export function createAdmissions(options: AdmissionsOptions): Admissions {
  const pending: PendingEvent[] = [];
  let scheduled = false;
  let runningBatches = 0;

  const runBatch = async () => {
    scheduled = false;
    if (runningBatches >= maxBatches || pending.length === 0) return;
    runningBatches += 1;
    const batch = pending.splice(0, batchSize);
    schedule();
    try {
      const [first] = batch;
      const admissions = await (first as PendingEvent).inTrace(() => admitBatch(options, batch));
      batch.forEach(({ resolve }, index) => {
        resolve(admissions[index] ?? "duplicate");
      });
    } catch (error) {
      // Events behind a batch that failed would only wait for the next time-out. Kinde redelivers rejected events.
      for (const { reject } of [...batch, ...pending.splice(0)]) reject(error);
    }
    runningBatches -= 1;
    schedule();
  };

  // Events verified in the same turn of the event loop share a batch.
  const schedule = () => {
    if (scheduled || pending.length === 0) return;
    scheduled = true;
    setImmediate(runBatch);
  };

  return {
    admit: (event) =>
      new Promise((resolve, reject) => {
        pending.push({ event, trace: traceCarrier(), inTrace: keepTrace(), resolve, reject });
        schedule();
      }),
  };
}

async function admitBatch(
  options: AdmissionsOptions,
  batch: readonly Pick<PendingEvent, "event" | "trace">[],
): Promise<Admission[]> {
  const { redis, keys, queues, burst, onError } = options;
  const seenKey = keys.ledgerPart("seen");
  const answers = await admitEvents(redis, {
    seenKey,
    ticketKey: keys.ledgerPart("ticket"),
    countsKey: keys.ledgerPart("counts"),
    users: ledgerKeys(keys, "users"),
    fanouts: ledgerKeys(keys, "fanouts"),
    events: batch.map(({ event }) => event),
  });
  const admitted = batch.map((pending, index) => ({ ...pending, ...(answers[index] ?? notOutstanding) }));
  const accepted = admitted.filter(({ duplicate }) => !duplicate);

  const refreshes = accepted.flatMap(({ event: { route }, trace, outstandingMs }) => {
    if (route.to !== "user") return [];
    const delayMs = route.deleted ? 0 : burstDelay(burst, outstandingMs);
    return [{ userId: route.userId, owed: true, delayMs, trace }];
  });
  const subjects = accepted.flatMap(({ event: { route } }): FanoutSubject[] =>
    route.to === "fanout" ? [route.subject] : [],
  );
  await Promise.all([queues.enqueueRefreshes(refreshes), queues.enqueueFanouts(subjects)]);
  const ids = accepted.map(({ event }) => event.id);
  if (ids.length > 0) rememberEvents(redis, { seenKey, ids }).catch(onError);
  return admitted.map(({ event, duplicate }) => (duplicate ? "duplicate" : admissionOf(event.route)));
}

function ledgerArgs(route: Route): [ledger: string, member: string, mark: string] {
  if (route.to === "user") return ["users", route.userId, route.deleted ? "d" : ""];
  return route.to === "fanout" ? ["fanouts", route.subject, ""] : ["", "", ""];
}

function admissionOf(route: Route): Admission {
  return route.to === "none" ? route.reason : "accepted";
}

function burstDelay({ quietMs, maxMs }: { quietMs: number; maxMs: number }, outstandingMs: number | undefined): number {
  return outstandingMs === undefined ? 0 : Math.max(0, Math.min(quietMs, maxMs - outstandingMs));
}
