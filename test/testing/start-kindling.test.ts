import { Redis } from "ioredis";
import { defineFlags, permission, property } from "kindling";
import { startKindling } from "kindling-server/testing";
import { afterEach, describe, expect, expectTypeOf, inject, it } from "vitest";
import { startEmulator } from "../support/emulator.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";

const definitions = defineFlags({
  onboarded: property.boolean("welcome_done", { default: false }),
  admin: permission("admin:access"),
  suspended: (profile) => profile.isSuspended,
});
const ada = testUser(1);
const { PATH } = process.env;
const signingKey = () => ({ signingKey: inject("signingKey") });

afterEach(() => {
  process.env.PATH = PATH;
});

describe("startKindling", () => {
  it("has the users' records ready, and follows what happens in Kinde", async () => {
    const kindling = await startKindling({
      definitions,
      redisUrl: testRedisUrl(),
      emulator: signingKey(),
      users: [{ id: ada, properties: { welcome_done: "true" } }],
    });
    const { reader, emulator, writer } = kindling;
    expect(await reader.get(ada)).toMatchObject({ status: "present", flags: { onboarded: true, suspended: false } });
    expectTypeOf((await reader.get(ada)).flags.onboarded).toEqualTypeOf<boolean>();

    emulator.kinde.suspendUser(ada);
    emulator.kinde.setProperties(ada, { welcome_done: "false" });
    const bob = emulator.kinde.createUser();
    await kindling.synced();
    expect(await reader.get(ada)).toMatchObject({ flags: { onboarded: false, suspended: true } });
    expect(await reader.get(bob.id)).toMatchObject({ status: "present" });

    emulator.kinde.deleteUser(bob.id);
    await kindling.synced();
    expect(await reader.get(bob.id)).toMatchObject({ status: "deleted" });

    expect((await writer.setProperties(ada, { welcome_done: true })).flags.onboarded).toBe(true);
    expect((await reader.get(ada)).flags.onboarded).toBe(true);
    emulator.kinde.setProperties(ada, { welcome_done: "false" });
    await kindling.synced();
    expect((await reader.get(ada)).flags.onboarded).toBe(false);
    expect(await fetch(`${kindling.url}/readyz`)).toMatchObject({ status: 200 });
    expect(kindling.env).toMatchObject({ KINDLING_URL: kindling.url, KINDE_ISSUER_URL: emulator.url });
    await kindling.close();

    const redis = new Redis(testRedisUrl());
    expect(await redis.keys(`*${kindling.env.KINDLING_PREFIX}*`)).toEqual([]);
    redis.disconnect();
    await expect(fetch(`${kindling.url}/readyz`)).rejects.toThrow();
    await expect(fetch(emulator.url)).rejects.toThrow();
  });

  it("starts a Redis of its own, which ends with it", async () => {
    const kindling = await startKindling({ definitions, emulator: signingKey(), users: [{ id: ada }] });
    expect(kindling.env.REDIS_URL).not.toBe(inject("redisUrl"));
    expect(await kindling.reader.get(ada)).toMatchObject({ status: "present" });
    await kindling.close();
    const redis = new Redis(String(kindling.env.REDIS_URL), { lazyConnect: true, retryStrategy: () => null });
    redis.on("error", () => undefined);
    await expect(redis.connect()).rejects.toThrow();
  });

  it("says what is missing where there is no Redis", async () => {
    process.env.PATH = "/nonexistent";
    await expect(startKindling({ definitions, emulator: signingKey() })).rejects.toMatchObject({
      code: "redis_unavailable",
      message: expect.stringContaining("redisUrl"),
    });
  });

  it("says that the given Redis cannot be reached", async () => {
    const redisUrl = "redis://127.0.0.1:1";
    await expect(startKindling({ definitions, redisUrl, emulator: signingKey() })).rejects.toMatchObject({
      code: "redis_unavailable",
      message: expect.stringContaining("127.0.0.1:1 cannot be reached"),
    });
  });

  it("leaves nothing running when it cannot start", async () => {
    const probe = await startEmulator();
    const { url } = probe;
    await probe.close();
    const options = { definitions, redisUrl: testRedisUrl(), env: { PORT: "no port" } };
    await expect(
      startKindling({ ...options, emulator: { ...signingKey(), port: Number(new URL(url).port) } }),
    ).rejects.toMatchObject({ code: "configuration_invalid" });
    await expect(fetch(url)).rejects.toThrow();
  });
});
