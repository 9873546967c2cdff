import { expect, it } from "vitest";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { uniquePrefix } from "../support/stack.ts";
import { startWire } from "../support/wire.ts";
import { openKindling } from "./app-kindling.ts";

it("an app starts while Redis is away, answers at once, and reads when Redis is there", async () => {
  const wire = await startWire(testRedisUrl());
  wire.cut();
  const { kindling, close } = await openKindling({
    REDIS_URL: wire.url,
    KINDLING_PREFIX: uniquePrefix(),
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
  await expect.poll(read, { timeout: 10_000 }).toMatchObject({ status: "missing" });
  // What was asked while Redis was away is not sent later. The answer above took two: record and completeness.
  expect(commands.match(/\r\nget\r\n/gi)?.length).toBeLessThanOrEqual(4);
  close();
  await wire.close();
});
