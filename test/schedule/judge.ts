import { expect } from "vitest";
import type { Stack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { expected, held } from "./comparison.ts";
import type { Scene } from "./scene.ts";

const nothing = { users: [], fanouts: [], unconfirmed: [], jobs: { refresh: [], bulk: [], confirm: [], fanout: [] } };

/** Ends all faults, waits until no work is left, and compares every user with Kinde. */
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
    // Repeats failed reads only, because Redis can be slow to restart. The first answer counts.
    expect(await until(() => held(stack, id))).toEqual(expected(kinde.user(id)));
  }
}

/** Returns the members of both ledgers, including failed ones, and all unfinished jobs. */
export async function outstanding({ store }: Stack) {
  const { redis, keys, queues } = store;
  const jobs = await Promise.all(
    (["refresh", "bulk", "confirm", "fanout"] as const).map(async (name) => {
      const found = await queues[name].getJobs(["waiting", "active", "delayed", "prioritized"]);
      const described = found.map(async (job) => ({
        ...job.data,
        state: await job.getState(),
        attempts: `${job.attemptsMade} of ${job.attemptsStarted} started`,
        failedReason: job.failedReason,
      }));
      return [name, await Promise.all(described)] as const;
    }),
  );
  return {
    users: await redis.zrange(keys.ledger, 0, -1),
    fanouts: await redis.zrange(keys.ledgerPart("fanouts"), 0, -1),
    unconfirmed: await redis.zrange(keys.ledgerPart("confirm"), 0, -1),
    jobs: Object.fromEntries(jobs),
  };
}
