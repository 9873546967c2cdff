import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkRedis, connectRedis } from "../../src/redis/connection.ts";
import { type EmbeddedRedis, findRedisServer, spawnGuarded, startRedisServer } from "../../src/testing/redis-server.ts";
import { freePort } from "../support/free-port.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { expectKept, startTraffic } from "./traffic.ts";

const binary = findRedisServer() ?? "redis-server";
const password = "of-the-sentinels";
let primary: EmbeddedRedis;
let replica: EmbeddedRedis;
let folder: string;
let sentinels: ChildProcess[];
let nodes: string;
let stack: Stack | undefined;

beforeAll(async () => {
  const quick = ["--repl-diskless-sync-delay", "0"];
  primary = await startRedisServer({ binary, args: quick });
  const { port } = new URL(primary.url);
  replica = await startRedisServer({ binary, args: [...quick, "--replicaof", "127.0.0.1", port] });
  folder = await mkdtemp(join(tmpdir(), "kindling-sentinel-"));
  const ports = [await freePort(), await freePort(), await freePort()];
  sentinels = await Promise.all(
    ports.map(async (own) => {
      const file = join(folder, `${own}.conf`);
      const lines = [
        ...[
          `port ${own}`,
          "bind 127.0.0.1",
          `dir ${folder}`,
          `requirepass ${password}`,
          `sentinel sentinel-pass ${password}`,
        ],
        `sentinel monitor mymaster 127.0.0.1 ${port} 2`,
        ...["sentinel down-after-milliseconds mymaster 1000", "sentinel failover-timeout mymaster 5000"],
      ];
      await writeFile(file, `${lines.join("\n")}\n`);
      return spawnGuarded(binary, [file, "--sentinel"]);
    }),
  );
  nodes = ports.map((each) => `127.0.0.1:${each}`).join(",");
  for (const each of ports) {
    const sentinel = new Redis({ port: each, password, retryStrategy: () => 50, maxRetriesPerRequest: null });
    sentinel.on("error", () => undefined);
    // ["name", "mymaster", …, "num-slaves", "1", …, "num-other-sentinels", "2", …]
    await until(async () => {
      const fields = (await sentinel.call("SENTINEL", "MASTER", "mymaster")) as string[];
      const value = (name: string) => fields[fields.indexOf(name) + 1];
      expect([value("num-slaves"), value("num-other-sentinels")]).toEqual(["1", "2"]);
    }, 30_000);
    sentinel.disconnect();
  }
});

afterAll(async () => {
  await stack?.close();
  for (const sentinel of sentinels) sentinel.stdin?.end();
  await Promise.all([primary.close(), replica.close()]);
  await rm(folder, { recursive: true, force: true });
});

it("names a primary that the Sentinels do not know, and a wrong password", async () => {
  const explain = async (url: string) => {
    const redis = connectRedis({ url, timeoutMs: 1_000, onError: () => undefined });
    const message = await checkRedis(redis, { url, timeoutMs: 1_000 }).catch((error: Error) => error.message);
    redis.disconnect();
    return message;
  };
  expect(await explain(`redis-sentinel://${nodes}/other?sentinelPassword=${password}`)).toMatch(
    /^Redis other behind the Sentinels at .* is not known to them/,
  );
  expect(await explain(`redis-sentinel://${nodes}/mymaster?sentinelPassword=wrong`)).toMatch(/refuses the password/);
});

it("loses nothing acknowledged when the primary dies under traffic", async () => {
  stack = await startStack({
    redisUrl: `redis-sentinel://${nodes}/mymaster?sentinelPassword=${password}`,
    env: {
      KINDLING_REDIS_REPLICAS: "1",
      KINDLING_WATCH_INTERVAL: "1s",
      KINDLING_WRITE_SETTLE: "1h",
      KINDLING_REDIS_TIMEOUT: "1s",
    },
  });
  const traffic = startTraffic(stack, 60);
  await until(() => expect(traffic.counts.accepted).toBeGreaterThan(100));
  await primary.kill();
  const promoted = new Redis(replica.url);
  await until(async () => expect(await promoted.info("replication")).toContain("role:master"), 30_000);
  promoted.disconnect();
  // The Sentinels make the former primary a replica: without one, KINDLING_REDIS_REPLICAS refuses events.
  await primary.start();
  const before = traffic.counts.accepted;
  await until(() => expect(traffic.counts.accepted).toBeGreaterThan(before + 100), 60_000);
  await traffic.stop();
  await expectKept(stack, traffic);
  console.log(traffic.counts, `longest gap ${Math.round(traffic.longestGapMs())} ms`);
});
