import { Redis } from "ioredis";
import { createReader, defineFlags, property, type ReaderRedis } from "kindling";
import { blankProfile } from "kindling/contract";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { createRecords } from "../../src/redis/records.ts";
import { playAll, scheduleOf, seeds } from "../support/seeds.ts";
import { uniquePrefix } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { startWire, type Wire } from "../support/wire.ts";

const list = seeds(16, 300_001);
const leaseMs = 60;
const userCount = 3;
// One fewer than there are users, so that records are evicted too.
const cache = { lease: leaseMs, maxEntries: userCount - 1, ttl: 500 };
const definitions = defineFlags({ version: property.number("version", { default: 0 }) });

const weights = {
  read: 30,
  readAndWait: 12,
  readThrough: 8,
  commit: 16,
  commitHere: 4,
  hearOf: 3,
  pause: 8,
  cutMessages: 2,
  holdMessages: 3,
  killSubscribers: 2,
  cutAnswers: 1,
  holdAnswers: 4,
  repair: 8,
  restartReader: 2,
  restartRedis: 1,
};
type Action = keyof typeof weights;

interface Lane {
  redis: EmbeddedRedis;
  direct: Redis;
  /** Carries messages of commits. */
  messages: Wire;
  /** Carries lookups. */
  answers: Wire;
}

/** A read that was answered. Times are those of `performance.now()`. */
interface Read {
  user: number;
  /** Number of the reader. */
  reader: number;
  begun: number;
  ended: number;
  version: number;
  cached: boolean;
  /** The version the caller knew of. */
  atLeast: number;
}

interface Commit {
  user: number;
  version: number;
  begun: number;
  /** `Infinity` until Redis has confirmed it. */
  ended: number;
}

const totals = { reads: 0, cached: 0, behind: 0 };
const lanes: Lane[] = [];

async function openLane(): Promise<Lane> {
  const redis = await startEmbeddedRedis({ durable: true });
  const direct = new Redis(redis.url, { maxRetriesPerRequest: null, retryStrategy: () => 10 });
  direct.on("error", () => undefined);
  const [messages, answers] = await Promise.all([startWire(redis.url), startWire(redis.url)]);
  return { redis, direct, messages, answers };
}

beforeAll(async () => {
  lanes.push(...(await Promise.all([openLane(), openLane()])));
}, 60_000);

afterAll(async () => {
  for (const { redis, direct, messages, answers } of lanes) {
    direct.disconnect();
    await Promise.all([messages.close(), answers.close()]);
    await redis.close();
  }
});

/** Opens a reader whose lookups and messages go over two wires that can be disturbed separately. */
function openReader({ messages, answers }: Lane, prefix: string) {
  const options = { retryStrategy: () => 5, disconnectTimeout: 20 };
  const client = new Redis(answers.url, { ...options, maxRetriesPerRequest: 0, enableOfflineQueue: false });
  client.on("error", () => undefined);
  const redis: ReaderRedis = {
    get: (key) => client.get(key),
    mget: (keys) => client.mget(keys),
    duplicate: (given) => new Redis(messages.url, { ...options, ...given }),
  };
  const reader = createReader({ redis, definitions, prefix, cache, timeoutMs: 150 });
  const close = () => {
    reader.close();
    client.disconnect();
  };
  return { reader, close };
}

// The reader's lease and time limits, and Redis, are in real time: so is a schedule.
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function play(lane: Lane, seed: number): Promise<void> {
  const prefix = uniquePrefix();
  const keys = createKeys(prefix);
  const records = createRecords({ redis: lane.direct, keys, tombstoneTtlMs: 60_000 });
  const ids = Array.from({ length: userCount }, (_, index) => `kp_${index}`);
  const reads: Read[] = [];
  const commits: Commit[] = [];
  const running: Promise<unknown>[] = [];
  let readers = 0;
  let { reader, close } = openReader(lane, prefix);
  let version = 0;

  const read = async (user: number, options: { maxAge?: number; atLeast?: number } = {}) => {
    const number = readers;
    const begun = performance.now();
    const { flags, status, cached = false } = await reader.get(ids[user] ?? "", options);
    const ended = performance.now();
    if (status !== "present") return;
    const { atLeast = 0 } = options;
    reads.push({ user, reader: number, begun, ended, version: flags.version, cached, atLeast });
  };
  const commit = async (user: number) => {
    version += 1;
    const entry: Commit = { user, version, begun: performance.now(), ended: Number.POSITIVE_INFINITY };
    commits.push(entry);
    const { schema } = definitions;
    const record = { flags: { version }, status: "present", fetchedAt: Date.now(), ticket: version, schema } as const;
    await records.commit(record, blankProfile(ids[user]));
    entry.ended = performance.now();
    return entry.version;
  };
  const latest = (user: number) =>
    Math.max(0, ...commits.filter((one) => one.user === user && one.ended < Infinity).map((one) => one.version));
  const repair = () => {
    for (const wire of [lane.messages, lane.answers]) {
      wire.release();
      wire.restore();
    }
  };

  const actions: Record<Action, (user: number, choice: number) => unknown> = {
    read: (user) => running.push(read(user)),
    readAndWait: (user) => read(user),
    readThrough: (user) => running.push(read(user, { maxAge: -1 })),
    commit: (user) => running.push(commit(user)),
    commitHere: async (user) => {
      // As a writer with the option `reader` does.
      reader.observe(ids[user] ?? "", await commit(user));
      await read(user, { atLeast: latest(user) });
    },
    hearOf: (user) => running.push(read(user, { atLeast: latest(user) })),
    pause: (_user, choice) => pause(choice % 40),
    cutMessages: () => lane.messages.cut(),
    holdMessages: () => lane.messages.hold(),
    killSubscribers: () => lane.direct.call("CLIENT", "KILL", "TYPE", "pubsub"),
    cutAnswers: () => lane.answers.cut(),
    holdAnswers: () => lane.answers.hold(),
    repair,
    restartReader: () => {
      close();
      readers += 1;
      ({ reader, close } = openReader(lane, prefix));
    },
    restartRedis: async () => {
      await lane.redis.kill();
      running.push(pause(10).then(() => lane.redis.start()));
    },
  };

  try {
    await Promise.all(ids.map((_, user) => commit(user)));
    for (const { action, user, choice, afterMs } of scheduleOf<Action>(seed, weights, {
      minLength: 80,
      maxLength: 160,
    })) {
      await pause(afterMs);
      // One restart at a time: the next step can be another.
      if (action === "restartRedis") await Promise.all(running.splice(0));
      await actions[action](user % userCount, choice);
    }
    repair();
    await Promise.all(running);
    // Whatever happened, memory answers again, with the truth.
    await until(async () => {
      for (const [user, id] of ids.entries()) {
        const { flags, cached } = await reader.get(id);
        expect(flags.version).toBe(latest(user));
        if (user === 0) expect((await reader.get(id)).cached ?? cached).toBe(true);
      }
    });
  } finally {
    repair();
    close();
  }
  judge(reads, commits);
}

function judge(reads: readonly Read[], commits: readonly Commit[]): void {
  for (const one of reads) {
    const ofUser = commits.filter(({ user }) => user === one.user);
    const before = (time: number) =>
      Math.max(0, ...ofUser.filter(({ ended }) => ended < time).map(({ version }) => version));
    const known = before(one.cached ? one.begun - leaseMs : one.begun);
    expect(one.version, `${describe(one)} is older than the lease`).toBeGreaterThanOrEqual(known);
    expect(one.version, `${describe(one)} misses a known ticket`).toBeGreaterThanOrEqual(one.atLeast);
    const possible = ofUser.filter(({ begun }) => begun < one.ended).map(({ version }) => version);
    expect(possible, `${describe(one)} was never committed`).toContain(one.version);
    const earlier = reads.filter(
      ({ user, reader, ended }) => user === one.user && reader === one.reader && ended < one.begun,
    );
    const newest = Math.max(0, ...earlier.map(({ version }) => version));
    expect(one.version, `${describe(one)} follows a newer one`).toBeGreaterThanOrEqual(newest);
    totals.reads += 1;
    if (one.cached) totals.cached += 1;
    if (one.version < before(one.begun)) totals.behind += 1;
  }
}

function describe({ user, version, cached }: Read): string {
  return `the ${cached ? "remembered" : "fetched"} version ${version} of user ${user}`;
}

it(`is never older than the lease, and never goes back, over ${list.length} random schedules`, async () => {
  await playAll(
    "test/client/cache-schedules.test.ts",
    list,
    lanes.map((lane) => (seed: number) => play(lane, seed)),
  );
  // The schedules prove nothing unless memory answers, sometimes behind Redis.
  if (list.length < 10) return;
  expect(totals.cached / totals.reads).toBeGreaterThan(0.1);
  expect(totals.behind).toBeGreaterThan(0);
}, 600_000);
