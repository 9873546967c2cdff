import { Redis } from "ioredis";
import { decodeJwt } from "jose";
import { createReader } from "kindling";
import type { FlagsRecord } from "kindling/contract";
import flags from "../kindling.flags.ts";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { createKeys } from "../src/redis/keys.ts";
import type { Benchmark, Outcome } from "./support/benchmark.ts";
import { median, overRounds, quantile } from "./support/statistics.ts";
import { idToken } from "./support/user-tokens.ts";

const names = ["kindling", "bare GET", "decodeJwt"] as const;
type Name = (typeof names)[number];

const users = 1_000;

export const read: Benchmark = {
  title: "read: one user's flags, one lookup after the other (µs)",
  async run({ quick, say }) {
    const embedded = await startEmbeddedRedis();
    const redis = new Redis(embedded.url);
    const keys = createKeys("kindling");
    try {
      const ids = Array.from({ length: users }, (_, index) => `kp_${String(index).padStart(32, "0")}`);
      await redis.mset(new Map(ids.map((id) => [keys.flags(id), JSON.stringify(recordOf())])));
      const token = await idToken(ids[0] ?? "");
      const reader = createReader({ redis, definitions: flags });
      const lookups: Readonly<Record<Name, (id: string) => unknown>> = {
        kindling: (id) => reader.get(id),
        "bare GET": async (id) => JSON.parse((await redis.get(keys.flags(id))) ?? "null"),
        decodeJwt: () => decodeJwt(token),
      };
      const rounds = new Map<Name, number[][]>(names.map((name) => [name, []]));
      const count = quick ? 3 : 15;
      for (let round = 0; round <= count; round += 1) {
        const times = await oneRound(lookups, ids, quick ? 2_000 : 10_000);
        // The first one warms up.
        if (round > 0) for (const name of names) rounds.get(name)?.push(times[name]);
      }
      say(`${count} rounds`);
      reader.close();
      return outcomeOf(rounds);
    } finally {
      redis.disconnect();
      await embedded.close();
    }
  },
};

function recordOf(): FlagsRecord {
  const values = { onboarded: true, tier: "pro", region: "eu", admin: false, suspended: false };
  return { flags: values, status: "present", fetchedAt: Date.now(), ticket: Date.now() * 1000, schema: flags.schema };
}

/** The lookups in turn, one by one, so that whatever else the machine does strikes all alike. */
async function oneRound(lookups: Readonly<Record<Name, (id: string) => unknown>>, ids: string[], count: number) {
  const times: Record<Name, number[]> = { kindling: [], "bare GET": [], decodeJwt: [] };
  for (let index = 0; index < count; index += 1) {
    const id = ids[index % ids.length] ?? "";
    // Nobody is always first.
    for (let turn = 0; turn < names.length; turn += 1) {
      const name = names[(turn + index) % names.length] ?? "kindling";
      const begun = performance.now();
      await lookups[name](id);
      times[name].push((performance.now() - begun) * 1000);
    }
  }
  return times;
}

function outcomeOf(rounds: ReadonlyMap<Name, number[][]>): Outcome {
  const medians = (name: Name) => (rounds.get(name) ?? []).map(median);
  const against = (peer: Name) => {
    const peers = medians(peer);
    return overRounds(medians("kindling").map((value, round) => value / (peers[round] ?? Number.NaN)));
  };
  const all = (name: Name) => (rounds.get(name) ?? []).flat();
  return {
    tables: [
      {
        columns: ["", "p50 µs", "p99 µs"],
        rows: names.map((name) => [name, quantile(all(name), 0.5), quantile(all(name), 0.99)]),
      },
    ],
    comparisons: [{ what: "median against a bare GET", unit: "times", goal: { atMost: 1.1 }, ...against("bare GET") }],
    notes: ["decodeJwt asks nobody, and is as old as the login: it is what an answer without a lookup costs."],
  };
}
