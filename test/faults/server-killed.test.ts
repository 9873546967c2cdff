import { afterEach, beforeEach, expect, it } from "vitest";
import { envOf } from "../cli/command-line.ts";
import { sigkill, useProcesses } from "../support/processes.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { startWire, type Wire } from "../support/wire.ts";

const processes = useProcesses();
let stack: Stack;
let wire: Wire;

beforeEach(async () => {
  stack = await startStack({ workers: false, env: { KINDLING_WATCH_INTERVAL: "200ms" } });
  wire = await startWire(stack.config.redisUrl);
});

afterEach(async () => {
  await wire.close();
  await stack.close();
});

it("a server killed when the ledger holds the event and the queue does not: the watch has the user refreshed", async () => {
  const { emulator, store, config } = stack;
  const server = await processes.server("server", { ...envOf(config), REDIS_URL: wire.url });
  const id = emulator.kinde.importUsers([{}])[0]?.id ?? "";
  let frozen = false;
  // The first command that puts this user into the queue gets no further than here.
  wire.onRequest((piece) => {
    if (frozen || !piece.includes(id) || !piece.includes(store.queues.refresh.toKey(""))) return;
    frozen = true;
    wire.freeze();
  });
  const webhook = emulator.webhooks.register({ url: server.webhookUrl });
  emulator.kinde.updateUser(id, { firstName: "Ada" });
  await until(() => expect(frozen).toBe(true));
  await sigkill(server);
  // Nothing will be delivered again: what the ledger holds is all there is.
  emulator.webhooks.remove(webhook.id);
  const statuses = emulator.deliveries.list().flatMap((delivery) => delivery.statuses);
  expect(statuses).not.toContain(200);
  expect((await store.ledger.entry(id))?.member).toBe(id);
  expect(await store.queues.refresh.getJobCountByTypes("waiting", "active", "delayed")).toBe(0);

  await stack.startWorkers();
  await until(async () => expect(await stack.record(id)).toMatchObject({ status: "present" }));
  await until(async () => expect((await store.ledger.size()).size).toBe(0));
});

it("no 200 goes out while the queue does not hold the refresh", async () => {
  const { emulator, store, config } = stack;
  const env = { ...envOf(config), REDIS_URL: wire.url, KINDLING_REDIS_TIMEOUT: "1s" };
  const server = await processes.server("server", env);
  const id = emulator.kinde.importUsers([{}])[0]?.id ?? "";
  let frozen = false;
  wire.onRequest((piece) => {
    if (frozen || !piece.includes(id) || !piece.includes(store.queues.refresh.toKey(""))) return;
    frozen = true;
    wire.freeze();
  });
  emulator.webhooks.register({ url: server.webhookUrl });
  emulator.kinde.updateUser(id, { firstName: "Ada" });
  await until(() => expect(emulator.deliveries.list()[0]?.statuses[0]).toBe(503));
  expect(frozen).toBe(true);
  wire.mend();
  await emulator.deliveries.settled();
  expect(emulator.deliveries.list()[0]?.state).toBe("delivered");
  expect(await store.queues.refresh.getJobCountByTypes("waiting", "active", "delayed")).toBe(1);
});
