import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { createEmulator, type Emulator } from "kinde-emulator";
import type { Config } from "../src/config.ts";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { createFetch } from "../src/fetch.ts";
import { createLog } from "../src/log.ts";
import { createKeys } from "../src/redis/keys.ts";
import { runServer } from "../src/service/run-server.ts";
import { runWorkers } from "../src/service/run-workers.ts";
import { openStore } from "../src/store.ts";
import type { Running } from "../src/world.ts";
import type { Benchmark, BenchOptions, Outcome } from "./support/benchmark.ts";
import { benchConfig } from "./support/config.ts";
import { quantile } from "./support/statistics.ts";

const kindeLatencyMs = 50;
const eventsOfOne = 1_000;
const perSecond = 100;

export const burst: Benchmark = {
  title: `burst: webhooks to readable flags, at ${kindeLatencyMs} ms a call to Kinde`,
  async run(options) {
    const embedded = await startEmbeddedRedis();
    const emulator = await createEmulator({ users: 2_000 });
    const redis = new Redis(embedded.url);
    const config = benchConfig({
      domain: emulator.url,
      redisUrl: embedded.url,
      credentials: emulator,
      env: { KINDLING_CALLS_PER_MINUTE: "100000", KINDLING_CALLS_AT_ONCE: "100" },
    });
    const service = await serveAll(config, emulator);
    try {
      emulator.faults.set({ kind: "latency", ms: kindeLatencyMs });
      const fetches = await fetchesOfOne(emulator, redis, service.users);
      options.say(`${eventsOfOne} events for one user: ${fetches} fetches`);
      const times = await timesOfMany(options, emulator, config, redis);
      return outcomeOf(fetches, times);
    } finally {
      await service.close();
      redis.disconnect();
      await emulator.close();
      await embedded.close();
    }
  },
};

async function serveAll(config: Config, emulator: Emulator) {
  const world = { fetch: createFetch(), now: Date.now };
  const log = createLog(config.logLevel);
  const store = await openStore(config, world, log);
  const server = await runServer(config, world, log, store);
  const workers: Running = await runWorkers(config, world, log, store);
  emulator.webhooks.register({ url: `http://127.0.0.1:${server.port}/webhooks/kinde` });
  return {
    users: store.ledger,
    async close() {
      await server.close();
      await workers.close();
      await store.close();
    },
  };
}

/** One user changes all the time for a second; how often is that user fetched until the ledger owes nothing? */
async function fetchesOfOne(
  { kinde, stats, deliveries }: Emulator,
  redis: Redis,
  users: { size(): Promise<{ size: number }> },
): Promise<number> {
  const [id = ""] = kinde.userIds();
  stats.reset();
  for (let index = 0; index < eventsOfOne; index += 1) {
    kinde.updateUser(id, { firstName: `N${index}` });
    if (index % 10 === 9) await delay(10);
  }
  await deliveries.settled();
  while ((await users.size()).size > 0) await delay(20);
  const profile = JSON.parse((await redis.get(createKeys("kindling").profile(id))) ?? "{}") as { firstName?: string };
  if (profile.firstName !== `N${eventsOfOne - 1}`) throw new Error("The last change is not in the record.");
  return stats.calls["GET /api/v1/user"] ?? 0;
}

/** Events of many users at a steady rate: from the change in Kinde until a plain `GET` shows it. */
async function timesOfMany({ quick, say }: BenchOptions, emulator: Emulator, config: Config, redis: Redis) {
  const seconds = quick ? 3 : 20;
  const { kinde } = emulator;
  const ids = [...kinde.userIds()].slice(1);
  const keys = createKeys(config.prefix);
  const times: number[] = [];
  const waiting = new Map<string, { suspended: boolean; since: number }>();
  let sending = true;

  const look = async () => {
    while (sending || waiting.size > 0) {
      const watched = [...waiting];
      const texts = watched.length > 0 ? await redis.mget(watched.map(([id]) => keys.flags(id))) : [];
      const now = performance.now();
      watched.forEach(([id, { suspended, since }], index) => {
        const record = JSON.parse(texts[index] ?? "null") as { flags: { suspended: boolean } } | null;
        if (record?.flags.suspended !== suspended) return;
        times.push(now - since);
        waiting.delete(id);
      });
      await delay(5);
    }
  };
  const looking = look();
  const begun = performance.now();
  for (let index = 0; index < seconds * perSecond; index += 1) {
    const due = begun + (index * 1000) / perSecond;
    if (due > performance.now()) await delay(due - performance.now());
    const id = ids[index % ids.length] ?? "";
    const suspended = !(kinde.user(id)?.isSuspended ?? false);
    waiting.set(id, { suspended, since: performance.now() });
    kinde.suspendUser(id, suspended);
  }
  sending = false;
  await looking;
  say(`${times.length} events at ${perSecond} a second`);
  return times;
}

function outcomeOf(fetches: number, times: number[]): Outcome {
  const p99 = quantile(times, 0.99);
  return {
    tables: [
      {
        columns: ["", "fetches", "p50 ms", "p99 ms", "most ms"],
        rows: [
          [`${eventsOfOne} events for one user in a second`, fetches, "", "", ""],
          [`${perSecond} events a second, many users`, times.length, quantile(times, 0.5), p99, Math.max(...times)],
        ],
      },
    ],
    comparisons: [
      { what: "fetches for the burst", value: fetches, unit: "fetches", goal: { atMost: 2 } },
      { what: "webhook to readable, p99", value: p99, unit: "ms", goal: { atMost: 1_000 } },
    ],
    notes: [
      "Two fetches are the least: the first event cannot wait for a burst nobody knows of yet, and what comes after its",
      "ticket needs another. A burst that lasts longer costs one fetch for each KINDLING_BURST_MAX (2s).",
      `Of the time to readable, two rounds of calls at ${kindeLatencyMs} ms each are Kinde's own.`,
    ],
  };
}
