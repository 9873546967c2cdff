import { describe, expect, it, vi } from "vitest";
import { useEmulator, useReceiver } from "./support.ts";

const start = useEmulator();
const receive = useReceiver();

/** Kinde's 65 hours of retries in a quarter of a second. */
const FAST = 1e-6;

describe("deliveries", () => {
  it("retries, with the same webhook-id and event, until answered 200", async () => {
    const emulator = await start({ retryTimeScale: FAST });
    const hook = await receive((attempt) => [500, 204, 302, 200][attempt - 1] ?? 200);
    emulator.webhooks.register({ url: hook.url });
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(emulator.deliveries.list()).toMatchObject([
      { state: "delivered", attempts: 4, statuses: [500, 204, 302, 200] },
    ]);
    expect(new Set(hook.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(hook.received.map(({ payload }) => payload.event_id)).size).toBe(1);
  });

  it("gives up after eleven attempts", async () => {
    // Slow enough for a busy machine not to take 72 hours over them.
    const emulator = await start({ retryTimeScale: 10 * FAST });
    const hook = await receive(() => 500);
    emulator.webhooks.register({ url: hook.url });
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(emulator.deliveries.list()).toMatchObject([{ state: "failed", attempts: 11 }]);
    expect(emulator.webhooks.list()).toMatchObject([{ enabled: true }]);
  });

  it("switches a webhook off that has failed for 72 hours, and drops what was on its way there", async () => {
    const emulator = await start({ retryTimeScale: FAST });
    const hook = await receive(() => 500);
    const { id } = emulator.webhooks.register({ url: hook.url });
    emulator.kinde.createUser();
    await vi.waitFor(
      () => {
        emulator.kinde.createUser();
        expect(emulator.webhooks.list()).toMatchObject([{ id, enabled: false }]);
      },
      { timeout: 5000, interval: 20 },
    );
    await emulator.deliveries.settled();
    expect(emulator.deliveries.list().map(({ state }) => state)).toContain("dropped");
    const heard = hook.received.length;
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(hook.received).toHaveLength(heard);
  });

  it("does not wait for an answer for ever", async () => {
    const emulator = await start({ retryTimeScale: FAST, deliveryTimeoutMs: 50 });
    const hook = await receive((attempt) => (attempt === 1 ? "hang" : 200));
    emulator.webhooks.register({ url: hook.url });
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(emulator.deliveries.list()).toMatchObject([{ statuses: ["timeout", 200], state: "delivered" }]);
  });

  it("says so when nobody listens, and settles when the webhook is removed", async () => {
    const emulator = await start();
    const { id } = emulator.webhooks.register({ url: "http://127.0.0.1:1/hook" });
    emulator.kinde.createUser();
    await vi.waitFor(() => expect(emulator.deliveries.list()[0]?.statuses).toEqual(["unreachable", "unreachable"]));
    expect(emulator.deliveries.pending()).toBe(1);
    emulator.webhooks.remove(id);
    await emulator.deliveries.settled();
    expect(emulator.deliveries.list()).toMatchObject([{ state: "dropped" }]);
  });

  it("delivers once more on demand", async () => {
    const emulator = await start();
    const hook = await receive((attempt) => (attempt === 2 ? 503 : 200));
    emulator.webhooks.register({ url: hook.url });
    const eventId = emulator.kinde.emit("user.updated", { user: { id: "kp_1" } });
    await emulator.deliveries.settled();
    expect(await emulator.deliveries.redeliver(eventId)).toBe(503);
    expect(await emulator.deliveries.redeliver(eventId)).toBe(200);
    expect(hook.received.map(({ payload }) => payload.event_id)).toEqual([eventId, eventId, eventId]);
  });
});

describe("faults of deliveries", () => {
  it("loses one and no more", async () => {
    const emulator = await start();
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    emulator.faults.set({ kind: "lose_delivery", count: 1 });
    const lost = emulator.kinde.createUser();
    const kept = emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(hook.received.map(({ payload }) => payload.data.user?.id)).toEqual([kept.id]);
    expect(emulator.deliveries.list().map(({ state }) => state)).toEqual(["lost", "delivered"]);
    expect(emulator.kinde.user(lost.id)).toEqual(lost);
    expect(emulator.faults.list()).toEqual([]);
  });

  it("takes an acknowledgement for a failure and delivers again", async () => {
    const emulator = await start({ retryTimeScale: FAST });
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    emulator.faults.set({ kind: "lose_ack", count: 2 });
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(hook.received).toHaveLength(3);
    expect(emulator.deliveries.list()).toMatchObject([{ statuses: ["timeout", "timeout", 200], state: "delivered" }]);
  });

  it("doubles deliveries under one webhook-id", async () => {
    const emulator = await start();
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    emulator.faults.set({ kind: "duplicate_delivery", copies: 2, eventTypes: ["user.created"] });
    const { id } = emulator.kinde.createUser();
    emulator.kinde.suspendUser(id);
    await emulator.deliveries.settled();
    expect(hook.types().sort()).toEqual(["user.created", "user.created", "user.created", "user.updated"]);
    expect(new Set(hook.received.map(({ headers }) => headers["webhook-id"])).size).toBe(2);
  });

  it("delays and reorders", async () => {
    const emulator = await start();
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    const clear = emulator.faults.set({ kind: "reorder_deliveries", window: 8, seed: 3 });
    const sent = Array.from({ length: 8 }, () => emulator.kinde.createUser().id);
    await emulator.deliveries.settled();
    const came = hook.received.map(({ payload }) => payload.data.user?.id);
    expect(came).not.toEqual(sent);
    expect([...came].sort()).toEqual([...sent].sort());
    clear();

    emulator.faults.set({ kind: "delay_delivery", ms: 500, count: 1 });
    const slow = emulator.kinde.createUser().id;
    const fast = emulator.kinde.createUser().id;
    await emulator.deliveries.settled();
    expect(hook.received.slice(8).map(({ payload }) => payload.data.user?.id)).toEqual([fast, slow]);
  });

  it("releases what it held back when too few come", async () => {
    const emulator = await start();
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    emulator.faults.set({ kind: "reorder_deliveries", window: 100, maxHoldMs: 20 });
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(hook.received).toHaveLength(1);
  });
});
