import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

beforeEach(async () => {
  stack = await startStack({ workers: false, env: { KINDLING_WATCH_INTERVAL: "200ms" } });
  stack.subscribe();
});

afterEach(() => stack.close());

async function acknowledged(): Promise<string> {
  const { id } = stack.emulator.kinde.createUser();
  await stack.emulator.deliveries.settled();
  expect((await stack.store.ledger.entry(id))?.member).toBe(id);
  return id;
}

const isRefreshed = (id: string) =>
  until(async () => {
    expect(await stack.record(id)).toMatchObject({ status: "present" });
    expect((await stack.store.ledger.size()).size).toBe(0);
  });

describe("the ledger check enqueues a job again that was deleted", () => {
  it("individually", async () => {
    const id = await acknowledged();
    for (const job of await stack.store.queues.refresh.getJobs()) await job.remove();
    expect(await stack.store.queues.refresh.getJobCountByTypes("waiting", "active", "delayed")).toBe(0);
    await stack.startWorkers();
    await isRefreshed(id);
  });

  it("with the whole queue", async () => {
    const id = await acknowledged();
    await stack.store.queues.refresh.obliterate({ force: true });
    await stack.startWorkers();
    await isRefreshed(id);
  });

  it("as a Redis key, leaving the other keys of the queue", async () => {
    const id = await acknowledged();
    const { queues, redis } = stack.store;
    const [job] = await queues.refresh.getJobs();
    await redis.del(queues.refresh.toKey(job?.id ?? ""), queues.refresh.toKey("wait"));
    await stack.startWorkers();
    await isRefreshed(id);
  });

  it("during the fetch, without losing later events", async () => {
    await stack.startWorkers();
    const { kinde, faults, stats, deliveries } = stack.emulator;
    const heal = faults.set({ kind: "hang", path: "/api/v1/user" });
    const { id } = kinde.createUser();
    await until(() => expect(faults.list()[0]?.struck).toBe(1));
    kinde.updateUser(id, { firstName: "Ada" });
    await deliveries.settled();
    await stack.store.queues.refresh.obliterate({ force: true });
    heal();
    kinde.updateUser(id, { firstName: "Grace" });
    await isRefreshed(id);
    const { profile } = await stack.store.records.read(id);
    expect(profile?.firstName).toBe("Grace");
    expect(stats.tokensIssued).toBe(1);
  });

  it("while another periodic check fails", async () => {
    const id = await acknowledged();
    const { queues, redis, keys } = stack.store;
    await queues.refresh.obliterate({ force: true });
    await redis.lpush(keys.ledgerPart("pulse"), "not a timestamp");
    await stack.startWorkers();
    await isRefreshed(id);
  });

  it("from the fan-out queue", async () => {
    const { kinde, deliveries } = stack.emulator;
    const organization = kinde.createOrganization();
    const { id } = kinde.importUsers([{ organizations: [organization.code] }])[0] ?? { id: "" };
    kinde.updateOrganization(organization.code, { name: "Renamed" });
    await deliveries.settled();
    await stack.store.queues.fanout.obliterate({ force: true });
    await stack.startWorkers();
    await isRefreshed(id);
    await until(async () => expect((await stack.store.fanoutLedger.size()).size).toBe(0));
  });
});

it("a periodic check ends the rate limit of a queue that Redis' clock left behind when it stepped back", async () => {
  const id = await acknowledged();
  const { queues, redis } = stack.store;
  await redis.set(queues.refresh.toKey("limiter"), Number.MAX_SAFE_INTEGER, "PX", 3_600_000);
  await stack.startWorkers();
  await isRefreshed(id);
});
