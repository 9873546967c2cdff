import { describe, expect, it } from "vitest";
import { sampleUsers } from "../../src/redis/sample-users.ts";
import { useRedis } from "../support/redis.ts";

const context = useRedis();

async function hold(ids: readonly string[]) {
  const pipeline = context.redis.pipeline();
  for (const id of ids) pipeline.set(context.keys.flags(id), "{}");
  for (const id of ids) pipeline.set(context.keys.profile(id), "{}");
  await pipeline.exec();
}

describe("a sample of users", () => {
  const ids = Array.from({ length: 12 }, (_, index) => `kp_few_${index}`);

  it("is empty where there are none, and everybody where they are few", async () => {
    expect(await sampleUsers(context.redis, context.keys, 10)).toEqual([]);
    await hold(ids);
    expect((await sampleUsers(context.redis, context.keys, 20)).sort()).toEqual(ids.sort());
    // From the very last place everybody else lies past the end.
    const last = () => 1 - Number.EPSILON;
    expect((await sampleUsers(context.redis, context.keys, 20, last)).sort()).toEqual(ids.sort());
  });

  it("finds the few among many keys of others", async () => {
    const pipeline = context.redis.pipeline();
    for (let index = 0; index < 40_000; index += 1) pipeline.set(`others:${context.keys.prefix}:${index}`, "");
    await pipeline.exec();
    await hold(ids);
    const found = await sampleUsers(context.redis, context.keys, 3);
    expect(found).toHaveLength(3);
    expect(ids).toEqual(expect.arrayContaining(found));
    await context.redis.unlink(await context.redis.keys(`others:${context.keys.prefix}:*`));
  });

  it("is as large as asked for, of everybody, and another each time", async () => {
    await hold(Array.from({ length: 3_000 }, (_, index) => `kp_${index}`));
    const seen = new Set<string>();
    for (let draw = 0; draw < 20; draw += 1) {
      const found = await sampleUsers(context.redis, context.keys, 50);
      expect(new Set(found).size).toBe(50);
      for (const id of found) seen.add(id);
    }
    // A thousand draws of three thousand: one who always drew the same few would see far fewer.
    expect(seen.size).toBeGreaterThan(600);
    expect([...seen].every((id) => id.startsWith("kp_"))).toBe(true);
  });
});
