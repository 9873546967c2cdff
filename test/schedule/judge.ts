import { expect } from "vitest";
import type { Stack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { expected, held } from "./comparison.ts";
import type { Scene } from "./scene.ts";

const nothing = { users: [], fanouts: [], jobs: { refresh: [], bulk: [], fanout: [] } };

/** Ends all that goes wrong, waits until everything is done, and compares every user with the truth. */
export async function judge(scene: Scene, patienceMs: number): Promise<void> {
  const { stack, kinde, users, leaver, tearing } = scene;
  tearing.clear();
  stack.emulator.faults.clear();
  for (const undo of scene.undo.reverse()) await undo();
  await stack.emulator.deliveries.settled();
  await until(async () => expect(await outstanding(stack)).toEqual(nothing), patienceMs);
  const farewell = (await until(() => held(stack, leaver))).status !== undefined;
  kinde.deleteUser(leaver, { silent: true });
  const ids = users.filter((id) => id !== undefined);
  for (const id of farewell ? [...ids, leaver] : ids) {
    // Redis may be slow to come back: asking may be repeated, the answer counts at once.
    expect(await until(() => held(stack, id))).toEqual(expected(kinde.user(id)));
  }
}

/** Everyone who stands in a ledger, as those do whose job gave up; and every job there is to do. */
export async function outstanding({ store }: Stack) {
  const { redis, keys, queues } = store;
  const jobs = await Promise.all(
    (["refresh", "bulk", "fanout"] as const).map(async (name) => {
      const found = await queues[name].getJobs(["waiting", "active", "delayed", "prioritized"]);
      const told = found.map(async (job) => ({
        ...job.data,
        state: await job.getState(),
        attempts: `${job.attemptsMade} of ${job.attemptsStarted} begun`,
        failedReason: job.failedReason,
      }));
      return [name, await Promise.all(told)] as const;
    }),
  );
  return {
    users: await redis.zrange(keys.ledger, 0, -1),
    fanouts: await redis.zrange(keys.ledgerPart("fanouts"), 0, -1),
    jobs: Object.fromEntries(jobs),
  };
}
