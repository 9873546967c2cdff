import { describe, expect, it } from "vitest";
import { sampleUsers } from "../../src/redis/sample-users.ts";
import { useRedis } from "../support/redis.ts";

const context = useRedis();

async function store(ids: readonly string[]) {
  const pipeline = context.redis.pipeline();
  for (const id of ids) pipeline.set(context.keys.flags(id), "{}");
  for (const id of ids) pipeline.set(context.keys.profile(id), "{}");
  await pipeline.exec();
}

describe("sampleUsers", () => {
  const ids = Array.from({ length: 12 }, (_, index) => `kp_few_${index}`);

  it("returns no users from an empty store and all users from a small one", async () => {
    expect(await sampleUsers(context.redis, context.keys, 10)).toEqual([]);
    await store(ids);
    expect((await sampleUsers(context.redis, context.keys, 20)).sort()).toEqual(ids.sort());
    // A scan that starts at the very end must continue at the start.
    const atEnd = () => 1 - Number.EPSILON;
    expect((await sampleUsers(context.redis, context.keys, 20, { random: atEnd })).sort()).toEqual(ids.sort());
  });

  it("finds the few living users among many tombstones, if only they are wanted", async () => {
    await store(ids);
    const pipeline = context.redis.pipeline();
    for (let index = 0; index < 4_000; index += 1) pipeline.set(context.keys.flags(`kp_gone_${index}`), "{}");
    await pipeline.exec();
    const found = await sampleUsers(context.redis, context.keys, 5, { withProfile: true });
    expect(found).toHaveLength(5);
    expect(ids).toEqual(expect.arrayContaining(found));
    await context.redis.unlink(await context.redis.keys(context.keys.flags("kp_gone_*")));
  });

  it("finds a few users among many keys of other applications", async () => {
    const pipeline = context.redis.pipeline();
    for (let index = 0; index < 40_000; index += 1) pipeline.set(`others:${context.keys.prefix}:${index}`, "");
    await pipeline.exec();
    await store(ids);
    const found = await sampleUsers(context.redis, context.keys, 3);
    expect(found).toHaveLength(3);
    expect(ids).toEqual(expect.arrayContaining(found));
    await context.redis.unlink(await context.redis.keys(`others:${context.keys.prefix}:*`));
  });

  it("returns a different sample of the requested size each time", async () => {
    await store(Array.from({ length: 3_000 }, (_, index) => `kp_${index}`));
    const seen = new Set<string>();
    for (let round = 0; round < 20; round += 1) {
      const found = await sampleUsers(context.redis, context.keys, 50);
      expect(new Set(found).size).toBe(50);
      for (const id of found) seen.add(id);
    }
    // A thousand draws from three thousand users: drawing the same users each time would see far fewer.
    expect(seen.size).toBeGreaterThan(600);
    expect([...seen].every((id) => id.startsWith("kp_"))).toBe(true);
  });
});
