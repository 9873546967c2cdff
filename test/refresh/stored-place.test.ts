import { beforeEach, describe, expect, it } from "vitest";
import { createBookmark } from "../../src/refresh/reprocess.ts";
import { useRedis } from "../support/redis.ts";

const context = useRedis();
const key = () => context.keys.ledgerPart("reprocess");
const bookmark = () => createBookmark(context.redis, context.keys);
const place = { cursor: "next", enqueued: 3, startedAt: 1_000 };

beforeEach(async () => {
  await context.redis.del(key());
});

describe("the position of a reprocess walk", () => {
  it("is written with a version and read back", async () => {
    expect(await bookmark().read()).toBeUndefined();
    await bookmark().write(place);
    expect(await context.redis.hget(key(), "v")).toBe("1");
    expect(await bookmark().read()).toEqual(place);
  });

  it("is read from releases without versions", async () => {
    await context.redis.hset(key(), place);
    expect(await bookmark().read()).toEqual(place);
    await context.redis.hdel(key(), "enqueued", "startedAt");
    expect(await bookmark().read()).toEqual({ cursor: "next", enqueued: 0, startedAt: 0 });
  });

  it.each([
    ["a position without a cursor", { enqueued: 3, startedAt: 1_000 }],
    ["an empty cursor", { ...place, cursor: "" }],
    ["a malformed count", { ...place, enqueued: "many" }],
    ["a malformed time", { ...place, startedAt: "now" }],
    ["a newer version", { ...place, v: 2 }],
  ])("treats %s as absent", async (_what, fields) => {
    await context.redis.hset(key(), fields);
    expect(await bookmark().read()).toBeUndefined();
  });
});
