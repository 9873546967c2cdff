import { generateKeyPairSync } from "node:crypto";
import { Redis } from "ioredis";
import { exportJWK, SignJWT } from "jose";
import type { FlagsRecord } from "kindling/contract";
import definitions from "../kindling.flags.ts";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { createKeys } from "../src/redis/keys.ts";
import type { Benchmark, Outcome } from "./support/benchmark.ts";
import { type Child, startChild } from "./support/child.ts";
import { sendAll } from "./support/load.ts";
import { median, overRounds, quantile } from "./support/statistics.ts";
import { userId } from "./support/tokens.ts";

/** Connections at once, each waiting for its answer before the next request. */
const connections = 32;
const users = 1_000;
const token = "a-token-of-the-benchmark.0123456789";
const clientId = "the_benchmark";

const names = ["service token", "user's token", "bare GET"] as const;
type Name = (typeof names)[number];

interface Sample {
  perSecond: number;
  p50: number;
  p99: number;
  /** Processor time of the server per request, all threads, in microseconds. */
  cpu: number;
}

export const httpRead: Benchmark = {
  title: "http-read: one user's flags over HTTP",
  async run({ quick, say }) {
    const embedded = await startEmbeddedRedis();
    const redis = new Redis(embedded.url);
    const children: Child[] = [];
    try {
      const keys = createKeys("kindling");
      const ids = Array.from({ length: users }, userId);
      await redis.mset(new Map(ids.map((id) => [keys.flags(id), JSON.stringify(recordOf())])));
      const signer = await createUserSigner();
      const keyServer = await startChild("keys", { BENCH_KEYS: signer.keys });
      const domain = `http://127.0.0.1:${keyServer.port}`;
      const settings = {
        KINDLING_API_TOKENS: `bench:read:${token}`,
        KINDLING_CLIENT_IDS: clientId,
        KINDLING_API_READS_PER_MINUTE: "1000000000",
        KINDLING_USER_READS_PER_MINUTE: "1000000000",
      };
      const kindling = await startChild("kindling", {
        BENCH_REDIS: embedded.url,
        BENCH_DOMAIN: domain,
        BENCH_SETTINGS: JSON.stringify(settings),
      });
      const bare = await startChild("bare-read", { BENCH_REDIS: embedded.url });
      children.push(keyServer, kindling, bare);

      const count = quick ? 5_000 : 20_000;
      const tokens = await Promise.all(ids.map((id) => signer.sign(id, domain)));
      const each = <T>(make: (index: number) => T) => Array.from({ length: count }, (_, index) => make(index % users));
      const competitors: Readonly<Record<Name, { server: Child; requests: Buffer[] }>> = {
        "service token": {
          server: kindling,
          requests: each((index) => get(`/v1/users/${ids[index]}/flags`, token)),
        },
        "user's token": { server: kindling, requests: each((index) => get("/v1/flags", tokens[index] ?? "")) },
        "bare GET": { server: bare, requests: each((index) => get(`/v1/users/${ids[index]}/flags`, token)) },
      };
      const samples = new Map<Name, Sample[]>(names.map((name) => [name, []]));
      const rounds = quick ? 3 : 9;
      for (let round = 0; round <= rounds; round += 1) {
        // Nobody is always first.
        for (let turn = 0; turn < names.length; turn += 1) {
          const name = names[(turn + round) % names.length] ?? "bare GET";
          const { server, requests } = competitors[name];
          const before = await server.cpu();
          const { perSecond, latencies } = await sendAll(server.port, requests, connections);
          const cpu = ((await server.cpu()) - before) / requests.length;
          // The first round warms up.
          if (round === 0) continue;
          samples.get(name)?.push({ perSecond, p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), cpu });
        }
        say(round === 0 ? "warmed up" : `round ${round} of ${rounds}`);
      }
      return outcomeOf(samples);
    } finally {
      await Promise.all(children.map((child) => child.close()));
      redis.disconnect();
      await embedded.close();
    }
  },
};

function get(path: string, bearer: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${bearer}\r\n\r\n`);
}

function recordOf(): FlagsRecord {
  const values = { onboarded: true, tier: "pro", region: "eu", admin: false, suspended: false };
  const fetchedAt = Date.now();
  return { flags: values, status: "present", fetchedAt, ticket: fetchedAt * 1000, schema: definitions.schema };
}

async function createUserSigner() {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "k", use: "sig", alg: "RS256" }] });
  const sign = (sub: string, issuer: string) =>
    new SignJWT({ azp: clientId, org_code: "org_1", permissions: [], scp: ["openid", "profile", "email", "offline"] })
      .setProtectedHeader({ alg: "RS256", kid: "k" })
      .setSubject(sub)
      .setIssuer(issuer)
      .setIssuedAt(Math.floor(Date.now() / 1000) - 60)
      .setExpirationTime("1d")
      .sign(privateKey);
  return { keys, sign };
}

function outcomeOf(samples: ReadonlyMap<Name, Sample[]>): Outcome {
  const of = (name: Name, figure: keyof Sample) => (samples.get(name) ?? []).map((sample) => sample[figure]);
  const onACore = (name: Name) => overRounds(of(name, "cpu").map((cpu) => 1_000_000 / cpu));
  const bare = of("bare GET", "p99");
  const p99 = overRounds(of("service token", "p99").map((value, round) => value / (bare[round] ?? Number.NaN)));
  return {
    tables: [
      {
        columns: ["", "reads/s", "p50 ms", "p99 ms", "server CPU µs/read"],
        rows: names.map((name) => [
          name,
          median(of(name, "perSecond")),
          median(of(name, "p50")),
          median(of(name, "p99")),
          median(of(name, "cpu")),
        ]),
      },
    ],
    comparisons: [
      {
        what: "reads per second of one core, service token",
        unit: "reads",
        goal: { atLeast: 10_000 },
        ...onACore("service token"),
      },
      {
        what: "reads per second of one core, user's token",
        unit: "reads",
        goal: { atLeast: 10_000 },
        ...onACore("user's token"),
      },
      { what: "p99 against a bare GET", unit: "times", goal: { atMost: 2 }, ...p99 },
    ],
    notes: [
      "Load generator, server and Redis share the machine's cores: reads per second of one core come from the server's CPU time.",
      "A bare GET checks no token and knows no definitions.",
    ],
  };
}
