import { expect, it } from "vitest";
import { useRedis } from "../support/redis.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { startWire } from "../support/wire.ts";
import { openKindling } from "./app-kindling.ts";
import definitions from "./definitions.ts";

const context = useRedis();

it("an app starts while Redis is away, answers at once, and reads when Redis is there", async () => {
  const { defaults: flags, schema } = definitions;
  const record = { flags, status: "present", fetchedAt: Date.now(), ticket: 1, schema };
  await context.redis.set(context.keys.flags(testUser(1)), JSON.stringify(record));
  const wire = await startWire(testRedisUrl());
  wire.cut();
  const { kindling, close } = await openKindling({
    REDIS_URL: wire.url,
    KINDLING_PREFIX: context.keys.prefix,
    KINDE_ISSUER_URL: "https://acme.kinde.com",
    KINDE_CLIENT_ID: "app",
  });
  let commands = "";
  wire.onRequest((piece) => {
    commands += piece;
  });
  const read = () => kindling.read({ userId: testUser(1) });
  expect(await read()).toMatchObject({ userId: testUser(1), status: "unavailable", denied: ["suspended"] });
  expect(await read()).toMatchObject({ status: "unavailable" });
  wire.restore();
  await expect.poll(read, { timeout: 10_000 }).toMatchObject({ status: "present", denied: [] });
  // What was asked while Redis was away is not sent later.
  expect(commands.match(/\r\nget\r\n/gi)).toHaveLength(1);
  close();
  await wire.close();
});
