import { describe, expect, it, vi } from "vitest";
import { useEmulator, useReceiver } from "./support.ts";

const start = useEmulator();
const receive = useReceiver();

/** Compresses 41 hours of retries into 150 ms. */
const FAST = 1e-6;

describe("deliveries", () => {
  it("retries with the same webhook-id and event until the endpoint answers 200", async () => {
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

  it("fails a delivery after eleven attempts", async () => {
    // Slow enough that the attempts stay below the scaled 72 hours on a busy machine.
    const emulator = await start({ retryTimeScale: 10 * FAST });
    const hook = await receive(() => 500);
    emulator.webhooks.register({ url: hook.url });
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(emulator.deliveries.list()).toMatchObject([{ state: "failed", attempts: 11 }]);
    expect(emulator.webhooks.list()).toMatchObject([{ enabled: true }]);
  });

  it("disables a webhook after 72 hours of failures and drops its pending deliveries", async () => {
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
    const before = hook.received.length;
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(hook.received).toHaveLength(before);
  });

  it("delivers to a disabled webhook again once it is switched on", async () => {
    const emulator = await start({ retryTimeScale: FAST });
    let status = 500;
    const hook = await receive(() => status);
    const { id } = emulator.webhooks.register({ url: hook.url });
    await vi.waitFor(
      () => {
        emulator.kinde.createUser();
        expect(emulator.webhooks.list()).toMatchObject([{ id, enabled: false }]);
      },
      { timeout: 5000, interval: 20 },
    );
    await emulator.deliveries.settled();
    status = 200;
    const enabled = await fetch(`${emulator.url}/__emulator/webhooks/${id}/enable`, { method: "POST" });
    expect(await enabled.json()).toMatchObject({ id, enabled: true });
    const user = emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(hook.received.at(-1)?.payload.data.user?.id).toBe(user.id);
    expect(() => emulator.webhooks.enable("webhook_unknown")).toThrow("webhook_unknown");
  });

  it("delivers to other endpoints while one does not answer, also in shuffled order", async () => {
    const emulator = await start();
    const dead = await receive(() => "hang");
    const alive = await receive();
    emulator.webhooks.register({ url: dead.url });
    emulator.webhooks.register({ url: alive.url });
    for (let made = 0; made < 100; made += 1) emulator.kinde.createUser();
    await vi.waitFor(() => expect(alive.received).toHaveLength(100), { timeout: 5000 });
    emulator.faults.set({ kind: "reorder_deliveries", window: 6 });
    for (let made = 0; made < 3; made += 1) emulator.kinde.createUser();
    await vi.waitFor(() => expect(alive.received).toHaveLength(103), { timeout: 5000 });
    expect(dead.received.length).toBeGreaterThan(0);
  });

  it("times out and retries when the endpoint does not answer", async () => {
    const emulator = await start({ retryTimeScale: FAST, deliveryTimeoutMs: 50 });
    const hook = await receive((attempt) => (attempt === 1 ? "hang" : 200));
    emulator.webhooks.register({ url: hook.url });
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    const [delivery] = emulator.deliveries.list();
    // On a busy machine, more attempts than the first can time out.
    expect([delivery?.state, delivery?.statuses[0], delivery?.statuses.at(-1)]).toEqual(["delivered", "timeout", 200]);
  });

  it("records an unreachable endpoint, and drops the delivery when the webhook is removed", async () => {
    const emulator = await start();
    const { id } = emulator.webhooks.register({ url: "http://127.0.0.1:1/hook" });
    emulator.kinde.createUser();
    await vi.waitFor(() => expect(emulator.deliveries.list()[0]?.statuses).toEqual(["unreachable", "unreachable"]));
    expect(emulator.deliveries.pending()).toBe(1);
    emulator.webhooks.remove(id);
    await emulator.deliveries.settled();
    expect(emulator.deliveries.list()).toMatchObject([{ state: "dropped" }]);
  });

  it("redelivers an event and returns the status", async () => {
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

describe("delivery faults", () => {
  it("lose_delivery discards the delivery and keeps the change", async () => {
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

  it("lose_ack treats an acknowledged attempt as a timeout and retries", async () => {
    const emulator = await start({ retryTimeScale: FAST });
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    emulator.faults.set({ kind: "lose_ack", count: 2 });
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(hook.received).toHaveLength(3);
    expect(emulator.deliveries.list()).toMatchObject([{ statuses: ["timeout", "timeout", 200], state: "delivered" }]);
  });

  it("duplicate_delivery sends copies with the same webhook-id", async () => {
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

  it("reorder_deliveries shuffles and delay_delivery postpones deliveries", async () => {
    const emulator = await start();
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    const clear = emulator.faults.set({ kind: "reorder_deliveries", window: 8, seed: 3 });
    const sent = Array.from({ length: 8 }, () => emulator.kinde.createUser().id);
    await emulator.deliveries.settled();
    const arrived = hook.received.map(({ payload }) => payload.data.user?.id);
    expect(arrived).not.toEqual(sent);
    expect([...arrived].sort()).toEqual([...sent].sort());
    clear();

    emulator.faults.set({ kind: "delay_delivery", ms: 500, count: 1 });
    const slow = emulator.kinde.createUser().id;
    const fast = emulator.kinde.createUser().id;
    await emulator.deliveries.settled();
    expect(hook.received.slice(8).map(({ payload }) => payload.data.user?.id)).toEqual([fast, slow]);
  });

  it("reorder_deliveries releases an incomplete window after maxHoldMs", async () => {
    const emulator = await start();
    const hook = await receive();
    emulator.webhooks.register({ url: hook.url });
    emulator.faults.set({ kind: "reorder_deliveries", window: 100, maxHoldMs: 20 });
    emulator.kinde.createUser();
    await emulator.deliveries.settled();
    expect(hook.received).toHaveLength(1);
  });
});
