import { beforeEach, describe, expect, it } from "vitest";
import { createPulse, type Pulse } from "../../src/webhook/silence.ts";
import { useRedis } from "../support/redis.ts";
import { unreadable } from "../support/stored.ts";

const context = useRedis();
const day = 86_400_000;
const now = 20_000 * day;
const stored: Pulse = { total: 0, heardAt: now - 2 * day, lookedAt: now - day, since: now - 9 * day, silences: {} };
const key = () => context.keys.ledgerPart("pulse");
const pulse = () => createPulse({ ...context, now: () => now });

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
});

describe("the stored pulse", () => {
  it("is written with a version and read back", async () => {
    await pulse().look();
    expect(JSON.parse((await context.redis.get(key())) ?? "")).toMatchObject({ heardAt: now, v: 1 });
    expect(await pulse().read()).toMatchObject({ forMs: 0 });
  });

  it("is read from releases without versions", async () => {
    await context.redis.set(key(), JSON.stringify(stored));
    expect(await pulse().read()).toMatchObject({ forMs: 2 * day, unusual: true });
  });

  it.each([
    ...unreadable(stored),
    ["a day that is not a number", JSON.stringify({ ...stored, silences: { monday: 5 } })],
    ["a silence that is not a number", JSON.stringify({ ...stored, silences: { 1: "long" } })],
  ])("starts again with %s", async (_what, text) => {
    await context.redis.set(key(), text);
    expect(await pulse().read()).toBeUndefined();
    expect(await pulse().look()).toMatchObject({ silence: { forMs: 0 } });
    expect(await pulse().read()).toMatchObject({ forMs: 0 });
  });

  it("ignores a malformed event count", async () => {
    await context.redis.hset(context.keys.ledgerPart("counts"), { "accepted:user.created": 2, duplicate: "many" });
    await pulse().look();
    expect(JSON.parse((await context.redis.get(key())) ?? "")).toMatchObject({ total: 2 });
  });
});
