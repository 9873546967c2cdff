import { afterEach, describe, expect, it } from "vitest";
import { beginAudit } from "../../src/audit/audit.ts";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

afterEach(() => stack.close());

async function start(options: StackOptions) {
  stack = await startStack(options);
  const { emulator, store } = stack;
  await store.queues.enqueueReprocess([...emulator.kinde.userIds()]);
  await until(async () => {
    const tickets = await store.records.tickets([...emulator.kinde.userIds()]);
    expect(tickets.every((ticket) => ticket > 0)).toBe(true);
  }, 30_000);
  return stack;
}

async function audit() {
  const { audits, queues } = stack.store;
  const before = (await audits.last())?.startedAt ?? 0;
  await queues.enqueueAudit();
  return until(async () => {
    const last = await audits.last();
    expect(last?.startedAt ?? 0).toBeGreaterThan(before);
    return last;
  }, 30_000);
}

describe("a scheduled audit", () => {
  it("reports drift with its cause and refreshes the users", async () => {
    const { emulator, store } = await start({ emulator: { users: 8 }, env: { KINDLING_AUDIT_SAMPLE: "100" } });
    expect(await audit()).toMatchObject({ drifted: 0, unsettled: 0, causes: {}, examples: [] });
    const [changed = "", suspended = ""] = emulator.kinde.userIds();
    emulator.kinde.setProperties(changed, { plan_tier: "enterprise", onboarded: "true" });
    emulator.kinde.suspendUser(suspended);
    const found = await audit();
    expect(found?.checked).toBeGreaterThanOrEqual(2);
    expect(found).toMatchObject({ drifted: 2, causes: { property_change: 1, missed_event: 1 } });
    expect(found?.examples.map(({ userId }) => userId).sort()).toEqual([changed, suspended].sort());
    await until(async () => {
      expect(await stack.record(changed)).toMatchObject({ flags: { tier: "enterprise", onboarded: true } });
      expect(await stack.record(suspended)).toMatchObject({ flags: { suspended: true } });
    });
    expect(await audit()).toMatchObject({ drifted: 0 });
    expect(await store.audits.totals()).toMatchObject({ drift: { property_change: 1, missed_event: 1, lost_race: 0 } });
  }, 60_000);

  it("completes although Kinde gives no answer about one user", async () => {
    const { emulator } = await start({
      emulator: { users: 12 },
      env: { KINDLING_AUDIT_SAMPLE: "100", KINDLING_RETRY_BASE: "10ms", KINDLING_REFRESH_ATTEMPTS: "3" },
    });
    const [failing = ""] = emulator.kinde.userIds();
    emulator.faults.set({ kind: "error", status: 500, path: "/api/v1/users/*/properties", user: failing });
    expect(await audit()).toMatchObject({ checked: 11, drifted: 0, failed: 1 });
    expect(await stack.store.audits.totals()).toMatchObject({ checked: 11, failed: 1 });
  }, 60_000);

  it.each([12, 1])(
    "retries later if Kinde answers for none of %i users",
    async (users) => {
      const { emulator, store } = await start({
        emulator: { users },
        env: { KINDLING_AUDIT_SAMPLE: "100", KINDLING_RETRY_BASE: "10ms" },
      });
      const recover = emulator.faults.set({ kind: "error", status: 503 });
      await store.queues.enqueueAudit();
      await until(async () => {
        const [job] = await store.queues.audit.getJobs(["active", "waiting", "delayed"]);
        expect(job?.attemptsMade).toBeGreaterThan(1);
      });
      expect(await store.audits.last()).toBeUndefined();
      recover();
      const { checked = 0, failed = 0 } =
        (await until(async () => {
          const last = await store.audits.last();
          expect(last).toBeDefined();
          return last;
        }, 30_000)) ?? {};
      expect(checked + failed).toBe(users);
      // Only users of the batch that was running when Kinde recovered.
      expect(failed).toBeLessThan(Math.min(users, 5));
    },
    60_000,
  );

  it("resumes an audit of an older release, which did not count failures", async () => {
    const { emulator, store } = await start({ emulator: { users: 3 } });
    const [failing = "", ...others] = emulator.kinde.userIds();
    emulator.faults.set({ kind: "error", status: 500, path: "/api/v1/users/*/properties", user: failing });
    const { failed: _failed, ...begun } = { ...beginAudit([failing, ...others], Date.now()), checked: 40 };
    await store.queues.audit.add("audit", { state: begun });
    await until(async () => expect(await store.audits.last()).toMatchObject({ checked: 42, failed: 1 }));
    expect(await store.audits.totals()).toMatchObject({ checked: 42, failed: 1 });
  }, 60_000);

  it("starts again if a newer release wrote the progress", async () => {
    const { store } = await start({ emulator: { users: 3 }, env: { KINDLING_AUDIT_SAMPLE: "100" } });
    const state = { ...beginAudit([], Date.now()), v: 2, checked: 40, rest: { users: 7 } };
    await store.queues.audit.add("audit", { state });
    await until(async () => expect(await store.audits.last()).toMatchObject({ checked: 3, failed: 0 }));
  }, 60_000);

  it("resumes with the remaining users after a pause requested by Kinde", async () => {
    const { emulator } = await start({ emulator: { users: 12 }, env: { KINDLING_AUDIT_SAMPLE: "100" } });
    emulator.faults.set({ kind: "too_many_requests", resetSeconds: 1, count: 1, path: "/api/v1/user" });
    emulator.stats.reset();
    expect(await audit()).toMatchObject({ checked: 12, drifted: 0, failed: 0 });
    expect(emulator.stats.tooMany).toBe(1);
  }, 60_000);

  it("runs on schedule and reports the state of our webhook at Kinde", async () => {
    await start({ env: { KINDLING_AUDIT_INTERVAL: "500ms", KINDLING_WATCH_INTERVAL: "200ms" } });
    const { emulator, store, webhookUrl } = stack;
    const state = async (expected: object) =>
      until(async () => expect(await store.audits.webhook()).toMatchObject(expected));
    await state({ state: "missing" });
    const { id } = emulator.webhooks.register({ url: webhookUrl, eventTypes: ["user.created"] });
    await state({ state: "incomplete", endpoint: webhookUrl });
    const { missingTypes = [] } = (await store.audits.webhook()) ?? {};
    expect(missingTypes).toContain("user.deleted");
    expect(missingTypes).not.toContain("subscriber.created");
    emulator.webhooks.remove(id);
    stack.subscribe();
    await state({ state: "ok", endpoint: webhookUrl });
  });

  it("reports the webhook as unknown if the scope is missing", async () => {
    const scopes = ["read:users", "read:user_properties"];
    await start({ emulator: { scopes }, env: { KINDLING_AUDIT_SAMPLE: "1" } });
    expect(await audit()).toMatchObject({ drifted: 0 });
    const check = await stack.store.audits.webhook();
    expect(check).toMatchObject({ state: "unknown", reason: expect.stringContaining("read:webhooks") });
  });
});
