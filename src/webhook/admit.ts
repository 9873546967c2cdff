import type { Redis } from "ioredis";
import type { Keys } from "../redis/keys.ts";
import { drawTicketLua, latestLua, ledgerKeys } from "../redis/ledger.ts";
import { defineScript } from "../redis/script.ts";
import type { FanoutSubject, RefreshQueues } from "../refresh/queues.ts";
import type { Route } from "./route-event.ts";

/** A verified event and where it goes. */
export interface RoutedEvent {
  id: string;
  type: string;
  route: Route;
}

/** What became of an event. */
export type Admission = "accepted" | "duplicate" | "ignored" | "unknown" | "unroutable";

/** The way in: events to ledger and queue. */
export interface Admissions {
  /** Resolves when the ledger and the queue hold what the event asks for; rejects when that is not certain. */
  admit(event: RoutedEvent): Promise<Admission>;
}

/** What admission needs. */
export interface AdmissionsOptions {
  redis: Redis;
  keys: Keys;
  queues: Pick<RefreshQueues, "enqueueRefreshes" | "enqueueFanouts">;
  now: () => number;
  /** How long an event id is remembered, in milliseconds: as long as an event may be old. */
  rememberMs: number;
  /**
   * While a user has an outstanding event, further ones wait until it has been quiet for `quietMs`, but no longer than
   * `maxMs` in all: a burst costs two fetches, the first at once.
   */
  burst: { quietMs: number; maxMs: number };
  onError: (error: unknown) => void;
}

/** Events admitted in one go: more wait for the next. */
const batchSize = 200;
/** Batches under way at once: enough that none waits for another's round trip, few enough that they fill up under load. */
const batchesAtOnce = 4;

// For each event: -1 seen before, -2 nothing outstanding for its subject yet, else the milliseconds for which something
// has been. Ids are remembered in two sets that take turns, so that forgetting costs nothing.
const admitScript = defineScript(`${drawTicketLua}${latestLua}
local events = #ARGV / 5
local first, now = draw(KEYS[3], events)
local ids, answers, inBatch, counts = {}, {}, {}, {}
for i = 1, events do ids[i] = ARGV[i * 5 - 4] end
local current = redis.call('SMISMEMBER', KEYS[1], unpack(ids))
local previous = redis.call('SMISMEMBER', KEYS[2], unpack(ids))
for i = 1, events do
  local id, count, ledger, member, mark = unpack(ARGV, i * 5 - 4, i * 5)
  answers[i] = -2
  if inBatch[id] or current[i] == 1 or previous[i] == 1 then
    answers[i] = -1
    count = 'duplicate'
  elseif ledger ~= '' then
    local since, latest = KEYS[5], KEYS[6]
    if ledger == 'fanouts' then since, latest = KEYS[7], KEYS[8] end
    local ticket = first + i - 1
    local joined, reflected = 0, 0
    if redis.call('ZADD', since, 'NX', ticket, member) == 0 then
      answers[i] = math.max(0, math.floor((now - tonumber(redis.call('ZSCORE', since, member))) / 1000))
      local noted, _
      noted, _, joined, reflected = readLatest(redis.call('HGET', latest, member))
      if noted == 'd' then mark = 'd' end
    end
    redis.call('HSET', latest, member, writeLatest(mark, ticket, joined + 1, reflected))
  end
  inBatch[id] = true
  counts[count] = (counts[count] or 0) + 1
end
for count, times in pairs(counts) do redis.call('HINCRBY', KEYS[4], count, times) end
return answers
`);

const rememberScript = defineScript(`
redis.call('SADD', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
`);

interface Waiting {
  event: RoutedEvent;
  resolve: (admission: Admission) => void;
  reject: (error: unknown) => void;
}

/**
 * Admits events in two round trips, whatever their number: first the ledger, which also tells duplicates, then the
 * queue. Only the ledger's answer says what to enqueue, so fewer cannot do. Events that are verified in the same turn of the
 * event loop share a batch.
 *
 * An id is remembered only after its work is held, in a third trip that nobody waits for: were it lost, a redelivery
 * would cost a fetch; were it first, a failure in between would lose the event.
 */
export function createAdmissions(options: AdmissionsOptions): Admissions {
  const waiting: Waiting[] = [];
  let scheduled = false;
  let underWay = 0;

  const run = async () => {
    scheduled = false;
    if (underWay >= batchesAtOnce || waiting.length === 0) return;
    underWay += 1;
    const batch = waiting.splice(0, batchSize);
    schedule();
    try {
      const admissions = await admitBatch(
        options,
        batch.map(({ event }) => event),
      );
      batch.forEach(({ resolve }, index) => {
        resolve(admissions[index] ?? "duplicate");
      });
    } catch (error) {
      // Whoever waits behind a Redis that hangs would wait as long again: refused now, Kinde delivers again.
      for (const { reject } of [...batch, ...waiting.splice(0)]) reject(error);
    }
    underWay -= 1;
    schedule();
  };

  // Whatever is verified in one turn of the event loop goes together.
  const schedule = () => {
    if (scheduled || waiting.length === 0) return;
    scheduled = true;
    setImmediate(run);
  };

  return {
    admit: (event) =>
      new Promise((resolve, reject) => {
        waiting.push({ event, resolve, reject });
        schedule();
      }),
  };
}

async function admitBatch(options: AdmissionsOptions, events: readonly RoutedEvent[]): Promise<Admission[]> {
  const { redis, keys, queues } = options;
  const users = ledgerKeys(keys, "users");
  const fanouts = ledgerKeys(keys, "fanouts");
  const [current, previous] = seenKeys(options);
  const answers = (await admitScript(
    redis,
    [
      current,
      previous,
      keys.ledgerPart("ticket"),
      keys.ledgerPart("counts"),
      users.since,
      users.latest,
      fanouts.since,
      fanouts.latest,
    ],
    events.flatMap(({ id, type, route }) => [id, countName(type, route), ...ledgerArgs(route)]),
  )) as number[];

  const fresh = events.filter((_, index) => answers[index] !== -1);
  const refreshes = events.flatMap(({ route }, index) => {
    const outstandingMs = answers[index] ?? -1;
    if (route.to !== "user" || outstandingMs === -1) return [];
    return [
      { userId: route.userId, owed: true, delayMs: route.deleted ? 0 : burstDelay(options.burst, outstandingMs) },
    ];
  });
  const subjects = fresh.flatMap(({ route }): FanoutSubject[] => (route.to === "fanout" ? [route.subject] : []));
  await Promise.all([queues.enqueueRefreshes(refreshes), queues.enqueueFanouts(subjects)]);
  if (fresh.length > 0) remember(options, current, fresh);
  return events.map(({ route }, index) => (answers[index] === -1 ? "duplicate" : admissionOf(route)));
}

function ledgerArgs(route: Route): [ledger: string, member: string, mark: string] {
  if (route.to === "user") return ["users", route.userId, route.deleted ? "d" : ""];
  return route.to === "fanout" ? ["fanouts", route.subject, ""] : ["", "", ""];
}

function admissionOf(route: Route): Admission {
  return route.to === "none" ? route.reason : "accepted";
}

function countName(type: string, route: Route): string {
  return `${admissionOf(route)}:${type}`;
}

function burstDelay({ quietMs, maxMs }: { quietMs: number; maxMs: number }, outstandingMs: number): number {
  return outstandingMs < 0 ? 0 : Math.max(0, Math.min(quietMs, maxMs - outstandingMs));
}

function seenKeys({ keys, now, rememberMs }: AdmissionsOptions): [current: string, previous: string] {
  const turn = Math.floor(now() / rememberMs);
  return [keys.ledgerPart(`seen:${turn}`), keys.ledgerPart(`seen:${turn - 1}`)];
}

function remember(
  { redis, rememberMs, onError }: AdmissionsOptions,
  key: string,
  events: readonly RoutedEvent[],
): void {
  rememberScript(redis, [key], [2 * rememberMs, ...events.map(({ id }) => id)]).catch(onError);
}
