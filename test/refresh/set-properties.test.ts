import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const call = { priority: "webhook", signal: new AbortController().signal } as const;
let stack: Stack;
let id: string;

beforeEach(async () => {
  stack = await startStack({ env: { KINDLING_WRITE_SETTLE: "2s" } });
  id = stack.emulator.kinde.createUser({ properties: { onboarded: "false" } }).id;
});

afterEach(() => stack.close());

const open = async (world = stack.world) =>
  createFlows({
    config: stack.config,
    world,
    store: stack.store,
    definitions: await loadDefinitions(stack.config.flagsFile),
  });
const tierOf = async () => (await stack.record(id))?.flags as { tier?: string; onboarded?: boolean } | undefined;

describe("a write", () => {
  it("is visible in Kinde and to every reader when it returns", async () => {
    const { setProperties } = await open();
    const record = await setProperties(id, { onboarded: "true", plan_tier: "pro" }, call);
    expect(record.flags).toMatchObject({ onboarded: true, tier: "pro" });
    expect(await tierOf()).toMatchObject({ onboarded: true, tier: "pro" });
    expect(stack.emulator.kinde.user(id)?.properties).toMatchObject({ onboarded: "true", plan_tier: "pro" });
  });

  it("is not overwritten by a fetch that starts before it and ends after it", async () => {
    const { setProperties, refreshUser } = await open();
    const remove = stack.emulator.faults.set({ kind: "latency", ms: 500, when: "after", user: id, count: 2 });
    const slow = refreshUser(id, call);
    await until(() => expect(stack.emulator.faults.list()[0]?.struck ?? 2).toBe(2));
    remove();
    await setProperties(id, { plan_tier: "enterprise" }, call);
    expect(await slow).toMatchObject({ outcome: "superseded" });
    expect(await tierOf()).toMatchObject({ tier: "enterprise" });
  });

  it("does not keep a slower refresh from committing, however many follow", async () => {
    const { kinde, faults } = stack.emulator;
    kinde.createRole("admin", ["admin:access"]);
    const { code } = kinde.createOrganization();
    const member = kinde.createUser({ organizations: [{ code, roles: ["admin"] }] }).id;
    const { setProperties, refreshUser } = await open();
    await refreshUser(member, call);
    kinde.deleteRole("admin");
    faults.set({ kind: "latency", ms: 300, path: "/api/v1/organizations/**" });
    let ended = false;
    const slow = refreshUser(member, call).finally(() => {
      ended = true;
    });
    let writes = 0;
    for (; !ended && writes < 100; writes += 1) await setProperties(member, { plan_tier: "pro" }, call);
    await slow;
    expect(writes).toBeLessThan(100);
    expect((await stack.record(member))?.flags).toMatchObject({ admin: false, tier: "pro" });
  });

  it("is not overwritten by an older answer from Kinde", async () => {
    const { setProperties, refreshUser } = await open();
    await setProperties(id, { plan_tier: "pro" }, call);
    // The answer of a lagging replica.
    stack.emulator.kinde.setProperties(id, { plan_tier: "free" });
    await refreshUser(id, call);
    expect(await tierOf()).toMatchObject({ tier: "pro" });
  });

  it("yields to changes made elsewhere after the settle time", async () => {
    const { setProperties } = await open();
    await setProperties(id, { plan_tier: "pro" }, call);
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    await until(async () => expect(await tierOf()).toMatchObject({ tier: "enterprise" }));
  });

  it("yields to changes made elsewhere even if an event caused a refresh in between", async () => {
    const { setProperties } = await open();
    stack.subscribe();
    await setProperties(id, { plan_tier: "pro" }, call);
    stack.emulator.kinde.suspendUser(id);
    await until(async () => expect((await stack.record(id))?.flags).toMatchObject({ suspended: true, tier: "pro" }));
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    await until(async () => expect(await tierOf()).toMatchObject({ tier: "enterprise" }));
  });

  it("changes nothing and reports the reason if Kinde rejects it", async () => {
    const { setProperties } = await open();
    await expect(setProperties(id, { no_such_property: "x" }, call)).rejects.toMatchObject({
      code: "kinde_rejected",
      reason: expect.stringContaining("no_such_property"),
    });
    expect(await stack.record(id)).toBeNull();
    stack.emulator.faults.set({ kind: "error", status: 403, method: "PATCH" });
    await expect(setProperties(id, { plan_tier: "pro" }, call)).rejects.toThrow("update:user_properties");
    expect(stack.emulator.kinde.user(id)?.properties).toEqual({ onboarded: "false" });
  });

  it("reports that it is not visible yet if reading back fails, and becomes visible later", async () => {
    const { setProperties } = await open();
    const stop = stack.emulator.faults.set({ kind: "error", status: 503, method: "GET" });
    await expect(setProperties(id, { plan_tier: "pro" }, call)).rejects.toMatchObject({
      code: "write_not_visible",
      message: expect.stringContaining("failed with status 503"),
    });
    stop();
    await until(async () => expect(await tierOf()).toMatchObject({ tier: "pro" }));
  });

  it("does not take a gateway's 404 for the absence of the user, or for the refusal of the values", async () => {
    const { setProperties } = await open();
    const remove = stack.emulator.faults.set({ kind: "error", status: 404, method: "PATCH" });
    await expect(setProperties(id, { plan_tier: "pro" }, call)).rejects.toMatchObject({ code: "kinde_unavailable" });
    expect(await stack.store.ledger.entry(id)).toBeDefined();
    remove();
    const unknown = "kp_00000000000000000000000000000000";
    await expect(setProperties(unknown, { plan_tier: "pro" }, call)).rejects.toMatchObject({ code: "user_not_found" });
  });

  it("fails if a gateway answers it with a page and status 200", async () => {
    const { setProperties } = await open();
    stack.emulator.faults.set({ kind: "garbage", method: "PATCH" });
    await expect(setProperties(id, { plan_tier: "pro" }, call)).rejects.toMatchObject({ code: "kinde_unavailable" });
  });

  it.each([{}, { status: "ok" }, [], null])("fails if a gateway answers it with %j and status 200", async (body) => {
    const { setProperties } = await open({
      ...stack.world,
      fetch: async (url, request) =>
        request?.method === "PATCH" ? Response.json(body) : stack.world.fetch(url, request),
    });
    await expect(setProperties(id, { plan_tier: "pro" }, call)).rejects.toMatchObject({ code: "kinde_unavailable" });
    await until(async () => expect(await tierOf()).toMatchObject({ tier: "free" }));
  });

  it("does not take a gateway's answer for the end of Kinde's token cache", async () => {
    const { setProperties } = await open({
      ...stack.world,
      fetch: async (url, request) =>
        url.endsWith("/refresh_claims") ? Response.json({}) : stack.world.fetch(url, request),
    });
    const set = setProperties(id, { plan_tier: "pro" }, { ...call, refreshClaims: true });
    await expect(set).rejects.toMatchObject({ code: "claims_not_refreshed" });
    expect(await tierOf()).toMatchObject({ tier: "pro" });
  });

  it("drops Kinde's token cache on request", async () => {
    const { setProperties } = await open();
    await setProperties(id, { plan_tier: "pro" }, { ...call, refreshClaims: true });
    expect(Object.keys(stack.emulator.stats.calls).filter((route) => route.includes("refresh_claims"))).toHaveLength(1);
  });
});
