import { createServer, connect as open, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { connectRedis } from "../../src/redis/connection.ts";
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

/** What is between forgets the connections there are, and tells neither end. */
function forgetConnections() {
  for (const socket of sockets) socket.unpipe();
}

it("leaves a connection that gives no answer for another", async () => {
  const errors: Error[] = [];
  const onError = (error: Error) => errors.push(error);
  const redis = connectRedis({ url: `redis://127.0.0.1:${port}`, timeoutMs: 200, onError });
  await until(async () => expect(await redis.ping()).toBe("PONG"));
  forgetConnections();
  await expect(redis.ping()).rejects.toThrow("Command timed out");
  await until(async () => expect(await redis.ping()).toBe("PONG"));
  redis.disconnect();
});

it("stays with a connection that is idle, and with the next once one was lost", async () => {
  let closes = 0;
  const redis = connectRedis({ url: `redis://127.0.0.1:${port}`, timeoutMs: 300, onError: () => undefined });
  redis.on("close", () => {
    closes += 1;
  });
  await until(async () => expect(await redis.ping()).toBe("PONG"));
  const asked = redis.blpop("nothing", 1);
  for (const socket of sockets.splice(0)) socket.destroy();
  await expect(asked).rejects.toThrow();
  const lost = performance.now();
  // For longer than silence is borne.
  await until(async () => {
    expect(await redis.ping()).toBe("PONG");
    expect(performance.now() - lost).toBeGreaterThan(1_000);
  });
  expect(closes).toBe(1);
  redis.disconnect();
});
