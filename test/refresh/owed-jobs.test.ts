import { once } from "node:events";
import { blankProfile } from "kindling/contract";
import { afterAll, beforeAll, expect, it } from "vitest";
import { connectRedis } from "../../src/redis/connection.ts";
import { createAcknowledgeUsers } from "../../src/refresh/acknowledge-users.ts";
import { createRefreshQueues } from "../../src/refresh/queues.ts";
import type { RefreshUser } from "../../src/refresh/refresh-user.ts";
import { createConfirmWorker } from "../../workers/refresh-worker.ts";
import { useRedis } from "../support/redis.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const context = useRedis();
let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.close());

it("skips the job of an event that another refresh has reflected", async () => {
  const { emulator, store } = stack;
  const [reflected, outstanding] = emulator.kinde.importUsers([{}, {}]).map(({ id }) => id);
  const fetched = (id: string | undefined) => emulator.stats.recent.filter(({ user }) => user === id).length;
  await store.ledger.intend(String(outstanding));
  await store.queues.enqueueRefreshes(
    [reflected, outstanding].map((userId) => ({ userId: String(userId), owed: true, delayMs: 0 })),
  );
  await until(async () =>
    expect(await store.queues.refresh.getJobCountByTypes("waiting", "active", "delayed")).toBe(0),
  );
  expect(fetched(outstanding)).toBeGreaterThan(0);
  expect(fetched(reflected)).toBe(0);
});

it("has a record confirmed that was fetched within the settle time of its event, although its job comes later", async () => {
  const { emulator, store, record } = stack;
  const { redis, keys, queues, ledger, records } = store;
  const [id = ""] = emulator.kinde.importUsers([{}]).map((user) => user.id);
  await queues.bulk.pause();
  const now = await ledger.clock();
  await createAcknowledgeUsers({ redis, keys, queues })([id], { concern: "grants", since: (now - 40_000) * 1000 });
  // The process that fetched the user died before it could settle the event.
  const { ticket } = await ledger.begin(id);
  const fetched = { flags: {}, status: "present", fetchedAt: now - 20_000, ticket, schema: "x" } as const;
  await records.commit(fetched, blankProfile(id));
  await queues.bulk.resume();
  await until(async () => expect(await ledger.entry(id)).toBeUndefined());
  expect(await record(id)).toMatchObject({ ticket });
  const due = Number(await redis.zscore(keys.ledgerPart("confirm"), id)) / 1000;
  expect(due).toBeGreaterThan(now);
  expect(due).toBeLessThan(now + 20_000);
});

it("confirms the users of a job one by one, and leaves one who fails to a job of their own", async () => {
  const { emulator, store } = stack;
  const { redis, keys, queues, ledger } = store;
  const due = keys.ledgerPart("confirm");
  const users = emulator.kinde.importUsers([{}, {}, {}, {}]).map(({ id }) => id);
  const [first, broken, last, confirmed] = users.map(String) as [string, string, string, string];
  const fetched = (id: string) => emulator.stats.recent.filter(({ user }) => user === id).length;
  await redis.zadd(due, ...[first, broken, last].flatMap((id) => [1, id]));
  const repair = emulator.faults.set({ kind: "error", status: 500, path: `/api/v1/users/${broken}/properties` });
  await queues.enqueueConfirm(users);
  await until(async () => expect(await redis.zrangebyscore(due, 1, 1)).toEqual([broken]));
  expect([first, last, confirmed].map((id) => fetched(id) > 0)).toEqual([true, true, false]);
  await until(async () => expect(await queues.confirm.getDeduplicationJobId(broken)).not.toBeNull());
  repair();
  expect(await ledger.failures()).toEqual([]);
});

it("confirms a user who takes long in a job of their own, so that the others do not wait", async () => {
  const { config, log } = stack;
  const connection = connectRedis({ url: config.redisUrl, onError: () => undefined });
  const queues = createRefreshQueues({ ...context, onError: () => undefined });
  const called: string[] = [];
  const refreshUser: RefreshUser = async (userId, { signal }) => {
    called.push(userId);
    // For as long as the user shares a job.
    if (called.length === 1) await once(signal, "abort").then(() => signal.throwIfAborted());
    return { outcome: "committed", ticket: 1, pending: false };
  };
  const never = new AbortController().signal;
  const given: string[] = [];
  const ledger = { giveBack: async (userIds: readonly string[]) => void given.push(...userIds) };
  const worker = createConfirmWorker(
    {
      ...stack.store,
      queues,
      ledger: { ...stack.store.ledger, ...ledger },
      refreshUser,
      concurrency: config.concurrency,
    },
    { connection, prefix: context.keys.queues, retry: config.retry, now: Date.now, log, closing: never, signal: never },
    50,
  );
  await queues.enqueueConfirm(["kp_long", "kp_next"]);
  await until(() => expect(given).toEqual(["kp_next", "kp_long"]));
  expect(called).toEqual(["kp_long", "kp_next", "kp_long"]);
  await worker.close();
  await Promise.all(
    [queues.refresh, queues.bulk, queues.confirm, queues.requests, queues.fanout].map((queue) => queue.close()),
  );
  connection.disconnect();
});

it("confirms the users of a job that crashed its worker in jobs of their own", async () => {
  const { emulator, store } = stack;
  const { redis, keys, queues } = store;
  const due = keys.ledgerPart("confirm");
  const users = emulator.kinde.importUsers([{}, {}]).map(({ id }) => id);
  await queues.confirm.pause();
  await redis.zadd(due, ...users.flatMap((id) => [1, id]));
  await queues.enqueueConfirm(users);
  const [job] = await queues.confirm.getWaiting();
  await redis.hset(queues.confirm.toKey(String(job?.id)), "stc", 1);
  const jobs = async () => Number(await redis.get(queues.confirm.toKey("id")));
  const before = await jobs();
  await queues.confirm.resume();
  await until(async () => expect(await redis.zcount(due, 1, 1)).toBe(0));
  expect(await jobs()).toBe(before + 2);
});
