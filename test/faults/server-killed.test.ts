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

it("refreshes the user if the server is killed after writing the ledger and before adding the job", async () => {
  const { emulator, store, config } = stack;
  const server = await processes.server("server", { ...envOf(config), REDIS_URL: wire.url });
  const id = emulator.kinde.importUsers([{}])[0]?.id ?? "";
  let frozen = false;
  // Stops the first command that adds this user to the queue.
  wire.onRequest((piece) => {
    if (frozen || !piece.includes(id) || !piece.includes(store.queues.refresh.toKey(""))) return;
    frozen = true;
    wire.freeze();
  });
  const webhook = emulator.webhooks.register({ url: server.webhookUrl });
  emulator.kinde.updateUser(id, { firstName: "Ada" });
  await until(() => expect(frozen).toBe(true));
  await sigkill(server);
  // Prevents another delivery, so that only the ledger knows about the event.
  emulator.webhooks.remove(webhook.id);
  const statuses = emulator.deliveries.list().flatMap((delivery) => delivery.statuses);
  expect(statuses).not.toContain(200);
  expect((await store.ledger.entry(id))?.member).toBe(id);
  expect(await store.queues.refresh.getJobCountByTypes("waiting", "active", "delayed")).toBe(0);

  await stack.startWorkers();
  await until(async () => expect(await stack.record(id)).toMatchObject({ status: "present" }));
  await until(async () => expect((await store.ledger.size()).size).toBe(0));
});

it("answers 503 until the queue contains the refresh", async () => {
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
  wire.restore();
  await emulator.deliveries.settled();
  expect(emulator.deliveries.list()[0]?.state).toBe("delivered");
  expect(await store.queues.refresh.getJobCountByTypes("waiting", "active", "delayed")).toBe(1);
});
