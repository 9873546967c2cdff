import { Redis } from "ioredis";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import type { Benchmark, BenchOptions, Outcome } from "./support/benchmark.ts";
import { type Child, startChild } from "./support/child.ts";
import { requestOf, sendAll } from "./support/load.ts";
import { empty, redisCpu } from "./support/redis.ts";
import { median, overRounds, quantile } from "./support/statistics.ts";
import { createSigner } from "./support/tokens.ts";

/** Connections at once, each waiting for its answer before the next request. */
const connections = 32;

const names = ["kindling", "minimal", "recipe"] as const;
type Name = (typeof names)[number];

/** What one round of one server came to. */
interface Sample {
  perSecond: number;
  p50: number;
  p99: number;
  /** Processor time per request in microseconds: the server's, all threads, and Redis'. */
  server: number;
  redis: number;
}

export const ingest: Benchmark = {
  title: "ingest: verified events a second, acknowledged only when the queue holds them",
  async run(options) {
    const embedded = await startEmbeddedRedis();
    const redis = new Redis(embedded.url);
    const children: Child[] = [];
    try {
      const signer = await createSigner();
      const keys = JSON.stringify(signer.keys);
      const keyServer = await startChild("keys", { BENCH_KEYS: keys });
      children.push(keyServer);
      const env = {
        BENCH_KEYS: keys,
        BENCH_REDIS: embedded.url,
        BENCH_DOMAIN: `http://127.0.0.1:${keyServer.port}`,
      };
      const servers = await Promise.all(names.map((name) => startChild(name, env)));
      children.push(...servers);
      options.say("signing events");
      const events = await signer.events(options.quick ? 1_000 : 4_000);
      return outcomeOf(await compete(options, redis, servers, events));
    } finally {
      await Promise.all(children.map((child) => child.close()));
      redis.disconnect();
      await embedded.close();
    }
  },
};

/** All servers in turn, round after round, so that whatever else the machine does strikes all alike. */
async function compete({ quick, say }: BenchOptions, redis: Redis, servers: readonly Child[], events: string[]) {
  const samples = new Map<Name, Sample[]>(names.map((name) => [name, []]));
  const warmUps = 1;
  const rounds = quick ? 3 : 9;
  for (let round = 0; round < warmUps + rounds; round += 1) {
    for (const [index, server] of servers.entries()) {
      await empty(redis);
      const name = names[index] ?? "kindling";
      // The slow one gets fewer, so that a round of each takes about as long.
      const sample = await measure(redis, server, name === "recipe" ? events.slice(0, events.length / 4) : events);
      if (round >= warmUps) samples.get(name)?.push(sample);
    }
    say(round < warmUps ? "warmed up" : `round ${round} of ${rounds}`);
  }
  return samples;
}

async function measure(redis: Redis, server: Child, events: readonly string[]): Promise<Sample> {
  const requests = events.map(requestOf);
  const [serverBefore, redisBefore] = await Promise.all([server.cpu(), redisCpu(redis)]);
  const { perSecond, latencies } = await sendAll(server.port, requests, connections);
  const [serverAfter, redisAfter] = await Promise.all([server.cpu(), redisCpu(redis)]);
  return {
    perSecond,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    server: (serverAfter - serverBefore) / events.length,
    redis: (redisAfter - redisBefore) / events.length,
  };
}

function outcomeOf(samples: ReadonlyMap<Name, Sample[]>): Outcome {
  const of = (name: Name) => samples.get(name) ?? [];
  const ratio = (peer: Name) =>
    overRounds(of("kindling").map(({ perSecond }, round) => perSecond / (of(peer)[round]?.perSecond ?? Number.NaN)));
  const middle = (name: Name, figure: keyof Sample) => median(of(name).map((sample) => sample[figure]));
  return {
    tables: [
      {
        columns: ["", "requests/s", "p50 ms", "p99 ms", "server CPU µs/request", "Redis CPU µs/request"],
        rows: names.map((name) => [
          name,
          ...(["perSecond", "p50", "p99", "server", "redis"] as const).map((figure) => middle(name, figure)),
        ]),
      },
    ],
    comparisons: [
      { what: "against the minimal handler", unit: "times", goal: { atLeast: 1 }, ...ratio("minimal") },
      { what: "against Kinde's recipe", unit: "times", goal: { atLeast: 4 }, ...ratio("recipe") },
    ],
    notes: [],
  };
}
