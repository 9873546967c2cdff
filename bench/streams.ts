import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { blankProfile, type FlagsRecord } from "kindling/contract";
import definitions from "../kindling.flags.ts";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { createKeys } from "../src/redis/keys.ts";
import { createRecords } from "../src/redis/records.ts";
import type { Benchmark } from "./support/benchmark.ts";
import { type Child, startChild } from "./support/child.ts";
import { quantile } from "./support/statistics.ts";
import { createSigner, userId } from "./support/tokens.ts";

const token = "a-token-of-the-benchmark.0123456789";

export const streams: Benchmark = {
  title: "streams: idle streams of server-sent events held by one process",
  async run({ quick, say }) {
    const count = quick ? 1_000 : 10_000;
    const embedded = await startEmbeddedRedis();
    const redis = new Redis(embedded.url);
    const children: Child[] = [];
    const sockets: Socket[] = [];
    try {
      const { keys } = await createSigner();
      const keyServer = await startChild("keys", { BENCH_KEYS: JSON.stringify(keys) });
      children.push(keyServer);
      const server = await startChild("kindling", {
        BENCH_REDIS: embedded.url,
        BENCH_DOMAIN: `http://127.0.0.1:${keyServer.port}`,
        BENCH_SETTINGS: JSON.stringify({
          KINDLING_API_TOKENS: `bench:read:${token}`,
          KINDLING_MAX_STREAMS: String(count),
          KINDLING_MAX_CONNECTIONS: String(count + 100),
        }),
        NODE_OPTIONS: "--expose-gc",
      });
      children.push(server);
      const names = createKeys("kindling");
      const records = createRecords({ redis, keys: names, tombstoneTtlMs: 60_000 });
      const ids = Array.from({ length: count }, userId);
      await redis.mset(new Map(ids.map((id) => [names.flags(id), JSON.stringify(recordOf("free", 1))])));

      const before = await server.memory();
      const heard = new Map<string, () => void>();
      for (let start = 0; start < count; start += 100) {
        await Promise.all(ids.slice(start, start + 100).map((id) => open(server.port, id, sockets, heard)));
      }
      say(`${count} streams are open`);
      await delay(2_000);
      const perStream = ((await server.memory()) - before) / count;
      const cpuBefore = await server.cpu();
      await delay(20_000);
      const idleCpu = ((await server.cpu()) - cpuBefore) / 20_000_000;

      const times: number[] = [];
      for (let n = 0; n < 500; n += 1) {
        const id = ids[(n * 7) % count] ?? "";
        const changed = new Promise<void>((resolve) => heard.set(id, resolve));
        const begun = performance.now();
        await records.commit(recordOf("pro", n + 2), blankProfile(id));
        await changed;
        times.push(performance.now() - begun);
      }
      return {
        tables: [
          {
            columns: ["", "KB per stream", "idle CPU %", "commit to event p50 ms", "p99 ms"],
            rows: [[`${count} streams`, perStream / 1024, idleCpu * 100, quantile(times, 0.5), quantile(times, 0.99)]],
          },
        ],
        comparisons: [{ what: "memory of one idle stream", value: perStream / 1024, unit: "KB", goal: { atMost: 50 } }],
        notes: ["Resident memory of the server after a collection, sockets included. Heartbeats every 20 s."],
      };
    } finally {
      for (const socket of sockets) socket.destroy();
      await Promise.all(children.map((child) => child.close()));
      redis.disconnect();
      await embedded.close();
    }
  },
};

function recordOf(tier: string, ticket: number): FlagsRecord {
  const values = { onboarded: true, tier, region: "eu", admin: false, suspended: false };
  return { flags: values, status: "present", fetchedAt: Date.now(), ticket, schema: definitions.schema };
}

/** Opens a stream and resolves with its first event. */
async function open(port: number, id: string, sockets: Socket[], heard: Map<string, () => void>): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  await once(socket, "connect");
  const first = new Promise<void>((resolve, reject) => {
    heard.set(id, resolve);
    socket.once("close", () => reject(new Error("The server closed a stream.")));
  });
  socket.on("data", (piece: Buffer) => {
    if (piece.includes("data: ")) heard.get(id)?.();
  });
  socket.write(`GET /v1/flags/stream?user=${id} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n\r\n`);
  await first;
  socket.on("error", () => undefined);
}
