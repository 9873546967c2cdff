import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { eraseUser } from "../../src/maintenance/erase-user.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { runSweep } from "../support/run-sweep.ts";
import { testUser } from "../support/signer.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const token = "a-token-of-the-tests.0123456789~+";
let server: EmbeddedRedis;
let stack: Stack;

beforeAll(async () => {
  server = await startEmbeddedRedis({ durable: true });
  stack = await startStack({
    redisUrl: server.url,
    env: {
      KINDLING_INTERNAL_REDIS_URL: testRedisUrl(),
      KINDLING_API_TOKENS: `app:read+write:${token}`,
      KINDLING_CHANGES_LENGTH: "100",
      KINDLING_WATCH_INTERVAL: "200ms",
    },
  });
  stack.subscribe();
}, 60_000);

afterAll(async () => {
  await stack.close();
  await server.close();
});

it("keeps only what app servers use beside the records", async () => {
  const { emulator, store, config, record } = stack;
  const { id } = emulator.kinde.createUser({ properties: { plan_tier: "pro" } });
  await until(async () => expect(await record(id)).toMatchObject({ flags: { tier: "pro" } }));
  const read = (path: string) =>
    fetch(new URL(path, stack.webhookUrl), { headers: { authorization: `Bearer ${token}` } });
  const written = await fetch(new URL(`/v1/users/${id}/properties`, stack.webhookUrl), {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({ properties: { plan_tier: "free" } }),
  });
  expect(written.status).toBe(200);
  await runSweep(stack);
  // A reader that waits is woken although Kinde does not know the user.
  const unknown = await read(`/v1/users/${testUser(7)}/flags?maxAge=0&wait=9000`);
  expect(await unknown.json()).toMatchObject({ status: "missing" });
  await until(async () => expect(await store.publicRedis.exists(store.keys.complete)).toBe(1));
  const admin = new Redis(server.url);
  const names = (await admin.keys("*")).map((name) => name.replace(config.prefix, "kindling").replace(id, "<id>"));
  admin.disconnect();
  expect(names.sort()).toEqual([
    ...["kindling:changes", "kindling:flags:complete", "kindling:flags:{<id>}", "kindling:profile:{<id>}"],
    "kindling:tenant",
  ]);
  expect(await store.redis.exists(store.keys.flags(id))).toBe(0);
});

it("refreshes the latest users again when the Redis of the records restarts, and erases in both", async () => {
  const { emulator, store, record } = stack;
  const { keys } = store;
  const { id } = emulator.kinde.createUser({ properties: { plan_tier: "pro" } });
  await until(async () => expect(await record(id)).toMatchObject({ flags: { tier: "pro" } }));
  await until(async () => expect((await store.ledger.size()).size).toBe(0));
  const ticket = (await store.records.tickets([id]))[0] ?? 0;
  await until(async () => expect(await store.redis.exists(keys.ledgerPart("settled:run"))).toBe(1));
  await server.kill();
  await server.start();
  await until(async () => expect((await store.records.tickets([id]))[0]).toBeGreaterThan(ticket), 30_000);
  await until(async () => expect((await store.ledger.size()).size).toBe(0));
  expect(await eraseUser(id, store)).toMatchObject({ erased: { records: 2 } });
  // The trail of the refresh is written a little later.
  await until(async () => expect(await eraseUser(id, store)).toMatchObject({ found: [] }));
});
