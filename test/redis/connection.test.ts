import { createServer, connect as open, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { checkRedis, connectRedis } from "../../src/redis/connection.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { until } from "../support/until.ts";

const target = new URL(testRedisUrl());
let sockets: Socket[];
let port: number;
const server = createServer((client) => {
  const redis = open(Number(target.port), target.hostname);
  client.pipe(redis).pipe(client);
  sockets.push(client, redis);
  for (const socket of [client, redis]) socket.on("error", () => undefined);
});

beforeEach(async () => {
  sockets = [];
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as { port: number }).port;
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

/** Makes the proxy stop forwarding without closing the connections, like a firewall that drops them. */
function silenceConnections() {
  for (const socket of sockets) socket.unpipe();
}

it("reconnects when a connection goes silent", async () => {
  const errors: Error[] = [];
  const onError = (error: Error) => errors.push(error);
  const redis = connectRedis({ url: `redis://127.0.0.1:${port}`, timeoutMs: 200, onError });
  await until(async () => expect(await redis.ping()).toBe("PONG"));
  silenceConnections();
  await expect(redis.ping()).rejects.toThrow("Command timed out");
  await until(async () => expect(await redis.ping()).toBe("PONG"));
  redis.disconnect();
});

it("keeps idle connections open, including one that replaced a lost connection", async () => {
  let closes = 0;
  const redis = connectRedis({ url: `redis://127.0.0.1:${port}`, timeoutMs: 300, onError: () => undefined });
  redis.on("close", () => {
    closes += 1;
  });
  await until(async () => expect(await redis.ping()).toBe("PONG"));
  const blocked = redis.blpop("nothing", 1);
  for (const socket of sockets.splice(0)) socket.destroy();
  await expect(blocked).rejects.toThrow();
  const lostAt = performance.now();
  // Longer than a silent connection is kept.
  await until(async () => {
    expect(await redis.ping()).toBe("PONG");
    expect(performance.now() - lostAt).toBeGreaterThan(1_000);
  });
  expect(closes).toBe(1);
  redis.disconnect();
});

it("refuses one node of a cluster and says how to connect to all", async () => {
  const embedded = await startEmbeddedRedis({ args: ["--cluster-enabled", "yes"] });
  const redis = connectRedis({ url: embedded.url, timeoutMs: 2_000, onError: () => undefined });
  try {
    await expect(checkRedis(redis, { url: embedded.url, timeoutMs: 2_000 })).rejects.toMatchObject({
      code: "redis_unsuitable",
      message: expect.stringContaining("write redis-cluster://"),
    });
  } finally {
    redis.disconnect();
    await embedded.close();
  }
});
