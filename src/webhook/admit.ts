import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Replication } from "../redis/durability.ts";
import type { Keys, TicketKeys } from "../redis/keys.ts";
import { ledgerKeys } from "../redis/ledger.ts";
import { concernLetter } from "../redis/ledger-scripts.ts";
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
  redis: RedisClient;
  keys: Keys;
  queues: Pick<RefreshQueues, "enqueueRefreshes" | "enqueueFanouts">;
  /** Waits for replicas before an event is acknowledged. */
  replication: Pick<Replication, "confirm">;
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
  times: string;
}

interface AdmitInput {
  seenKey: string;
  ticket: TicketKeys;
  countsKey: string;
  users: LedgerKeys;
  concernsKey: string;
  fanouts: LedgerKeys;
  events: readonly RoutedEvent[];
}

/** The answer about one member of an event. */
interface AdmitAnswer {
  duplicate: boolean;
  /** How long something has been outstanding for the member; `undefined` if nothing was. */
  outstandingMs: number | undefined;
}

const admitEvents = defineScript("admit-events", {
  call: ({ seenKey, ticket, countsKey, users, concernsKey, fanouts, events }: AdmitInput) => ({
    keys: [
      seenKey,
      ticket.counter,
      ticket.run,
      countsKey,
      users.since,
      users.latest,
      users.times,
      concernsKey,
      fanouts.since,
      fanouts.latest,
    ],
    args: events.flatMap(({ id, type, route }) =>
      membersOf(route).flatMap((member, index) => [index === 0 ? id : "", countedAs(route, type), ...member]),
    ),
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
  const { redis, keys, queues, replication, burst, onError } = options;
  const seenKey = keys.ledgerPart("seen");
  const answers = await admitEvents(redis, {
    seenKey,
    ticket: keys.ticket,
    countsKey: keys.ledgerPart("counts"),
    users: ledgerKeys(keys, "users"),
    concernsKey: keys.ledgerPart("concerns"),
    fanouts: ledgerKeys(keys, "fanouts"),
    events: batch.map(({ event }) => event),
  });
  let row = 0;
  const admitted = batch.map(({ event, trace }) => {
    const ofMembers = answers.slice(row, row + membersOf(event.route).length);
    row += ofMembers.length;
    return { event, trace, ofMembers, duplicate: ofMembers[0]?.duplicate === true };
  });
  const accepted = admitted.filter(({ duplicate }) => !duplicate);

  const refreshes = accepted.flatMap(({ event: { route }, trace, ofMembers }) =>
    usersOf(route).map((userId, index) => {
      return {
        userId,
        owed: true,
        delayMs: route.to === "deleted" ? 0 : burstDelay(burst, ofMembers[index]?.outstandingMs),
        trace,
      };
    }),
  );
  const subjects = accepted.flatMap(({ event: { route } }) => subjectsOf(route));
  await Promise.all([queues.enqueueRefreshes(refreshes), queues.enqueueFanouts(subjects)]);
  const ids = accepted.map(({ event }) => event.id);
  if (ids.length > 0) {
    await replication.confirm();
    rememberEvents(redis, { seenKey, ids }).catch(onError);
  }
  return admitted.map(({ event, duplicate }) => (duplicate ? "duplicate" : admissionOf(event.route)));
}

type Member = [ledger: string, member: string, mark: string];

function usersOf(route: Route): readonly string[] {
  return route.to === "deleted" ? [route.userId] : route.to === "users" ? route.userIds : [];
}

function subjectsOf(route: Route): readonly FanoutSubject[] {
  return (route.to === "fanout" || route.to === "users") && route.subject !== undefined ? [route.subject] : [];
}

/** Returns what an event adds to the ledgers: at least one entry, because its id must be checked in any case. */
function membersOf(route: Route): Member[] {
  if (route.to === "none") return [["", "", ""]];
  const mark = route.to === "deleted" ? "d" : route.to === "users" ? concernLetter(route.concern) : "";
  return [
    ...usersOf(route).map((userId): Member => ["users", userId, mark]),
    ...subjectsOf(route).map((subject): Member => ["fanouts", subject, ""]),
  ];
}

function admissionOf(route: Route): Admission {
  return route.to === "none" ? route.reason : "accepted";
}

/** Returns the counter of an event: a fixed number of them, so types that are not known share one. */
function countedAs(route: Route, type: string): string {
  const admission = admissionOf(route);
  return `${admission}:${admission === "unknown" ? "other" : type}`;
}

function burstDelay({ quietMs, maxMs }: { quietMs: number; maxMs: number }, outstandingMs: number | undefined): number {
  return outstandingMs === undefined ? 0 : Math.max(0, Math.min(quietMs, maxMs - outstandingMs));
}
