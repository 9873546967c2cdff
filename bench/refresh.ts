import { setTimeout as delay } from "node:timers/promises";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import { createEmulator, type Emulator } from "kinde-emulator";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { createFetch } from "../src/fetch.ts";
import { createLog } from "../src/log.ts";
import type { Concern } from "../src/redis/ledger-scripts.ts";
import { createAcknowledgeUsers } from "../src/refresh/acknowledge-users.ts";
import { openStore, type Store } from "../src/store.ts";
import { createAdmissions } from "../src/webhook/admit.ts";
import type { Benchmark, BenchOptions, Outcome } from "./support/benchmark.ts";
import { type Child, startChild } from "./support/child.ts";
import { benchConfig } from "./support/config.ts";
import { drawBars } from "./support/picture.ts";
import { redisCpu } from "./support/redis.ts";
import { overRounds } from "./support/statistics.ts";

/** Users that each worker refreshes at the same time. */
const inHand = 150;
const settings = {
  KINDLING_REFRESH_CONCURRENCY: String(inHand),
  KINDLING_BULK_CONCURRENCY: String(inHand),
  KINDLING_CALLS_PER_MINUTE: "10000000",
  KINDLING_CALLS_AT_ONCE: "10000",
  // Confirming refreshes would fall into the rounds of others.
  KINDLING_WRITE_SETTLE: "1h",
};

/** One way to have users refreshed: the worker that does it, and how they get into its queue. */
interface Lane {
  name: string;
  child: Child;
  enqueue(ids: readonly string[]): Promise<unknown>;
  /** Returns how many users are still in the queue or in hand. */
  left(): Promise<number>;
}

/** What one round of one lane came to, per user. */
interface Sample {
  /** Processor time in microseconds: the worker's, all threads, and Redis', which includes what enqueues. */
  worker: number;
  redis: number;
  calls: number;
}

export const refresh: Benchmark = {
  title: `refresh: users fetched and stored, members of one organization with roles, ${inHand} at once, Kinde at 0 ms`,
  async run(options) {
    const embedded = await startEmbeddedRedis();
    const redis = new Redis(embedded.url);
    const emulator = await createEmulator({ users: 10_000 });
    const { clientId, clientSecret } = emulator;
    const config = benchConfig({
      domain: emulator.url,
      redisUrl: embedded.url,
      credentials: emulator,
      env: settings,
    });
    const store = await openStore(config, { fetch: createFetch(), now: Date.now }, createLog(config.logLevel));
    const env = {
      BENCH_DOMAIN: emulator.url,
      BENCH_REDIS: embedded.url,
      BENCH_CREDENTIALS: JSON.stringify({ clientId, clientSecret }),
      BENCH_SETTINGS: JSON.stringify(settings),
      BENCH_CONCURRENCY: String(inHand),
    };
    const byHand = (http: "fetch" | "undici") => handWritten(http, env, embedded.url);
    const kindling = await startChild("refresher", env);
    const peers = await Promise.all([byHand("fetch"), byHand("undici")]);
    const lanes = [...kindlings(store, kindling), ...peers.map(({ lane }) => lane)];
    try {
      const users = membersOfOne(emulator).slice(0, options.quick ? 500 : 1_500);
      const samples = await compete(options, redis, emulator, lanes, users);
      if (!options.quick) await draw(lanes, samples);
      return await outcomeOf(lanes, samples);
    } finally {
      await Promise.all([kindling.close(), ...peers.map(({ close }) => close())]);
      await store.close();
      redis.disconnect();
      await emulator.close();
      await embedded.close();
    }
  },
};

/** The causes of Kindling's refreshes: one worker, measured after each kind of event. */
function kindlings({ redis, keys, ledger, queues, replication }: Store, child: Child): Lane[] {
  const { admit } = createAdmissions({
    redis,
    keys,
    queues,
    replication,
    burst: { quietMs: 0, maxMs: 0 },
    onError: () => undefined,
  });
  const acknowledge = createAcknowledgeUsers({ redis, keys, queues });
  let events = 0;
  const event = (type: string, concern: Concern | "signIn") => (ids: readonly string[]) =>
    Promise.all(
      ids.map((userId) => admit({ id: `event_${++events}`, type, route: { to: "users", userIds: [userId], concern } })),
    );
  const left = async () => (await ledger.size()).size;
  // Users whose confirming refresh has been due since 1970.
  const [confirm, longAgo] = [keys.ledgerPart("confirm"), 1];
  return [
    { name: "Kindling, user.updated", child, left, enqueue: event("user.updated", "grants") },
    { name: "Kindling, sign-in", child, left, enqueue: event("user.authenticated", "signIn") },
    { name: "Kindling, fan-out", child, left, enqueue: (ids) => acknowledge(ids, { concern: "grants" }) },
    {
      name: "Kindling, reprocess",
      child,
      left: () => queues.bulk.getJobCountByTypes("waiting", "prioritized", "active"),
      enqueue: (ids) => queues.enqueueReprocess(ids),
    },
    {
      name: "Kindling, confirmation",
      child,
      left: () => redis.zcount(confirm, longAgo, longAgo),
      enqueue: (ids) => redis.zadd(confirm, ...ids.flatMap((id) => [longAgo, id])),
    },
  ];
}

async function handWritten(http: "fetch" | "undici", env: Record<string, string>, redisUrl: string) {
  const name = `hand-written-${http}`;
  const queue = new Queue<{ userId: string }>(name, { connection: { url: redisUrl } });
  const child = await startChild("hand-written", { ...env, BENCH_HTTP: http, BENCH_QUEUE: name });
  const lane: Lane = {
    name: http === "fetch" ? "by hand, global fetch" : "by hand, undici pool, pipelined Redis",
    child,
    enqueue: (ids) => queue.addBulk(ids.map((userId) => ({ name: "refresh", data: { userId } }))),
    left: () => queue.getJobCountByTypes("waiting", "active"),
  };
  const close = async () => {
    await child.close();
    await queue.close();
  };
  return { lane, close };
}

function membersOfOne({ kinde }: Emulator): string[] {
  return [...kinde.userIds()].filter((id) => {
    const user = kinde.user(id);
    return user?.organizations.length === 1 && user.billing === null;
  });
}

/** All lanes in turn, round after round, so that whatever else the machine does strikes all alike. */
async function compete(
  { quick, say }: BenchOptions,
  redis: Redis,
  emulator: Emulator,
  lanes: readonly Lane[],
  users: readonly string[],
): Promise<Map<Lane, Sample[]>> {
  const samples = new Map<Lane, Sample[]>(lanes.map((lane) => [lane, []]));
  // The first round warms up: what is compiled and cached then is not counted.
  for (let round = 0; round <= (quick ? 1 : 5); round += 1) {
    for (const lane of lanes) {
      const sample = await measure(lane, redis, emulator, users);
      if (round > 0) samples.get(lane)?.push(sample);
      say(`round ${round}, ${lane.name}: ${sample.worker.toFixed(0)} µs`);
    }
  }
  return samples;
}

async function measure(
  { child, enqueue, left }: Lane,
  redis: Redis,
  { stats }: Emulator,
  users: readonly string[],
): Promise<Sample> {
  stats.reset();
  const before = await Promise.all([child.cpu(), redisCpu(redis)]);
  await enqueue(users);
  while ((await left()) > 0) await delay(20);
  const after = await Promise.all([child.cpu(), redisCpu(redis)]);
  const calls = Object.values(stats.calls).reduce((sum, count) => sum + count, 0);
  return {
    worker: (after[0] - before[0]) / users.length,
    redis: (after[1] - before[1]) / users.length,
    calls: calls / users.length,
  };
}

function median(samples: readonly Sample[] | undefined, name: keyof Sample): number {
  return overRounds((samples ?? []).map((sample) => sample[name])).value;
}

async function draw(lanes: readonly Lane[], samples: ReadonlyMap<Lane, Sample[]>): Promise<void> {
  await drawBars("refresh", {
    title: "Processor time of a refresh, in microseconds a user",
    series: ["worker", "Redis"],
    bars: lanes.map((lane) => {
      const parts = [median(samples.get(lane), "worker"), median(samples.get(lane), "redis")];
      const note = `${parts.map(Math.round).join(" + ")}, ${median(samples.get(lane), "calls").toFixed(1)} calls`;
      return { label: lane.name.replace(", pipelined Redis", ""), parts, note };
    }),
  });
}

async function outcomeOf(lanes: readonly Lane[], samples: ReadonlyMap<Lane, Sample[]>): Promise<Outcome> {
  const figure = (lane: Lane | undefined, name: keyof Sample) =>
    overRounds((lane && samples.get(lane)?.map((sample) => sample[name])) ?? []);
  const memory = new Map<Child, number>();
  for (const { child } of lanes) if (!memory.has(child)) memory.set(child, await child.memory());
  const rows = lanes.map((lane) => {
    const [worker = 0, redis = 0, calls = 0] = (["worker", "redis", "calls"] as const).map(
      (name) => figure(lane, name).value,
    );
    return [lane.name, worker, 1e6 / worker, redis, calls, (memory.get(lane.child) ?? 0) / 1024 / 1024];
  });
  const [updated, signIn] = lanes;
  const [byHand, pooled] = ["fetch", "undici"].map((http) =>
    lanes.find(({ name }) => name.startsWith("by hand") && name.includes(http)),
  );
  const against = (peer: Lane | undefined) =>
    overRounds(
      (samples.get(updated as Lane) ?? []).map(
        ({ worker }, round) => worker / (samples.get(peer as Lane)?.[round]?.worker ?? Number.NaN),
      ),
    );
  return {
    tables: [
      {
        columns: ["", "worker µs", "users/s of a core", "Redis µs", "calls", "RSS MB"],
        rows,
      },
    ],
    comparisons: [
      { what: "worker time of a refresh with roles", unit: "µs", ...figure(updated, "worker"), goal: { atMost: 800 } },
      { what: "against the hand-written worker with fetch", unit: "times", ...against(byHand), goal: { atMost: 1 } },
      {
        what: "against the hand-written worker with a pool",
        unit: "times",
        ...against(pooled),
        goal: { atMost: 1 },
      },
      {
        what: "memory of the worker",
        unit: "MB",
        value: (memory.get((updated as Lane).child) ?? 0) / 1024 / 1024,
        goal: { atMost: 160 },
      },
      { what: "calls for a sign-in", unit: "calls", ...figure(signIn, "calls"), goal: { atMost: 2 } },
    ],
    notes: [
      "After user.updated, Kindling fetches the user once more half a minute later: add the line of the confirmation.",
      "The hand-written workers keep no order between refreshes, obey no limit, and lose what fails.",
      "Redis' time includes the enqueuing; a hand-written queue adds its jobs in bulk.",
    ],
  };
}
