import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Redis } from "ioredis";
import { decodeJwt } from "jose";
import { createReader } from "kindling";
import definitions from "../kindling.flags.ts";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { createKeys } from "../src/redis/keys.ts";
import type { Benchmark, Outcome } from "./support/benchmark.ts";
import { median, overRounds } from "./support/statistics.ts";
import { accessToken, idToken } from "./support/user-tokens.ts";

const names = ["peek", "get", "GET", "decodeJwt", "decodeJwt of an ID token", "Map"] as const;
type Name = (typeof names)[number];

const users = 10_000;

export const cache: Benchmark = {
  title: "cache: one user's flags from the memory of the process (ns)",
  async run({ quick, say }) {
    const embedded = await startEmbeddedRedis();
    const redis = new Redis(embedded.url);
    const keys = createKeys("kindling");
    const plain = createReader({ redis, definitions });
    const reader = createReader({ redis, definitions, cache: { maxEntries: users } });
    try {
      const ids = Array.from({ length: users }, (_, index) => `kp_${String(index).padStart(32, "0")}`);
      await redis.mset(new Map(ids.map((id) => [keys.flags(id), recordOf()])));
      const map = new Map(ids.map((id) => [id, definitions.defaults]));
      // Until the subscription stands, nothing is kept.
      while ((await reader.get(ids[0] ?? "")).cached !== true) await redis.ping();
      const bytes = await memoryOf(async () => {
        for (const id of ids) await reader.get(id);
      });
      say(`${users} records in memory`);
      const [access, id] = await Promise.all([accessToken(ids[0] ?? ""), idToken(ids[0] ?? "")]);
      // An id of its own for each lookup: none profits from the one before.
      const lookups: Readonly<Record<Name, (id: string) => unknown>> = {
        peek: (user) => reader.peek(user),
        get: (user) => reader.get(user),
        GET: (user) => plain.get(user),
        decodeJwt: () => decodeJwt(access),
        "decodeJwt of an ID token": () => decodeJwt(id),
        Map: (user) => map.get(user),
      };
      const counts: Readonly<Record<Name, number>> = {
        peek: 100_000,
        get: 100_000,
        GET: 2_000,
        decodeJwt: 20_000,
        "decodeJwt of an ID token": 20_000,
        Map: 200_000,
      };
      const rounds = new Map<Name, number[]>(names.map((name) => [name, []]));
      const count = quick ? 3 : 25;
      for (let round = 0; round <= count; round += 1) {
        for (const name of names) {
          const nanoseconds = await timeOf(lookups[name], ids, counts[name]);
          // The first round warms up.
          if (round > 0) rounds.get(name)?.push(nanoseconds);
        }
      }
      say(`${count} rounds`);
      if ((await reader.get(ids[0] ?? "")).cached !== true) throw new Error("The cache did not answer.");
      return outcomeOf(rounds, bytes, access.length);
    } finally {
      reader.close();
      redis.disconnect();
      await embedded.close();
    }
  },
};

function recordOf(): string {
  const flags = { onboarded: true, tier: "pro", region: "eu", admin: false, suspended: false };
  const fetchedAt = Date.now();
  return JSON.stringify({ flags, status: "present", fetchedAt, ticket: fetchedAt * 1000, schema: definitions.schema });
}

const batch = 500;

/** Nanoseconds a lookup takes, awaited like a request handler does: the median over batches, so that pauses do not count. */
async function timeOf(lookUp: (id: string) => unknown, ids: readonly string[], count: number): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < count; at += batch) {
    const begun = performance.now();
    for (let index = at; index < at + batch; index += 1) {
      const answer = lookUp(ids[index % ids.length] ?? "");
      if (answer instanceof Promise) await answer;
    }
    times.push(((performance.now() - begun) * 1e6) / batch);
    // The lease needs the event loop to turn.
    await nextTurn();
  }
  return median(times);
}

/** Bytes of the heap that a task leaves behind. */
async function memoryOf(task: () => Promise<void>): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  const before = process.memoryUsage().heapUsed;
  await task();
  collect();
  return process.memoryUsage().heapUsed - before;
}

function outcomeOf(rounds: ReadonlyMap<Name, number[]>, bytes: number, length: number): Outcome {
  const of = (name: Name) => rounds.get(name) ?? [];
  const against = (ours: Name, peer: Name) =>
    overRounds(of(peer).map((value, round) => value / (of(ours)[round] ?? Number.NaN)));
  return {
    tables: [
      { columns: ["", "median ns"], rows: names.map((name) => [name, median(of(name))]) },
      { columns: ["", "bytes"], rows: [["a record in memory", bytes / users]] },
    ],
    comparisons: [
      { what: "peek faster than decodeJwt", unit: "times", goal: { atLeast: 50 }, ...against("peek", "decodeJwt") },
      { what: "get faster than decodeJwt", unit: "times", goal: { atLeast: 50 }, ...against("get", "decodeJwt") },
      { what: "get faster than a GET", unit: "times", goal: { atLeast: 100 }, ...against("get", "GET") },
      { what: `heap of ${users.toLocaleString("en")} records`, unit: "MB", goal: { atMost: 10 }, value: bytes / 1e6 },
    ],
    notes: [
      `The access token has ${length} characters: 20 permissions, 10 feature flags, a role and three properties.`,
    ],
  };
}
