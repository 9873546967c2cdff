import { expect, it } from "vitest";
import { createSweepQueue } from "../../src/sweep/queue.ts";
import { createSweepLog } from "../../src/sweep/sweep-log.ts";
import { useRedis } from "../support/redis.ts";

const context = useRedis();

it("numbers of sweeps keep growing in a store that was wiped", async () => {
  const log = createSweepLog(context);
  const before = await log.nextNumber();
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
  expect(await log.nextNumber()).toBeGreaterThan(before);
});

it("job ids of sweeps do not recur in a store that was wiped", async () => {
  const queue = createSweepQueue({ ...context, onError: (error) => expect.fail(error.message) });
  const ids: string[] = [];
  for (let round = 0; round < 2; round += 1) {
    await queue.enqueueSweep();
    const [job] = await queue.sweep.getJobs();
    ids.push(String(job?.id));
    await queue.sweep.obliterate({ force: true });
  }
  expect(new Set(ids).size).toBe(2);
  await queue.sweep.close();
});
