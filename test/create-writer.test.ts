import { createReader, defineFlags, property } from "kindling";
import { afterEach, beforeEach, describe, expect, expectTypeOf, it } from "vitest";
import { createWriter, type InProcessWriter } from "../src/index.ts";
import { createFlows } from "../src/service/create-flows.ts";
import { envOf } from "./cli/command-line.ts";
import { testRedisUrl } from "./support/redis-url.ts";
import { type Stack, startStack } from "./support/stack.ts";
import { until } from "./support/until.ts";
import { startWire } from "./support/wire.ts";

const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
});
type Values = (typeof definitions)["defaults"];

let stack: Stack;
let writer: InProcessWriter<Values>;
let id: string;

beforeEach(async () => {
  stack = await startStack();
  writer = createWriter({ definitions, env: envOf(stack.config) });
  id = stack.emulator.kinde.createUser().id;
});

afterEach(async () => {
  await writer.close();
  await stack.close();
});

describe("createWriter", () => {
  it("sets properties and returns typed flags that every reader now sees", async () => {
    const { flags: user, ticket, fetchedAt } = await writer.setProperties(id, { onboarded: true, plan_tier: "pro" });
    expectTypeOf(user.tier).toEqualTypeOf<"free" | "pro">();
    expectTypeOf(user.onboarded).toEqualTypeOf<boolean>();
    expect(user).toEqual({ onboarded: true, tier: "pro" });
    const reader = createReader({ redis: stack.store.redis, definitions, prefix: stack.config.prefix });
    expect(await reader.get(id)).toMatchObject({ flags: user, fetchedAt });
    expect((await stack.record(id))?.ticket).toBe(ticket);
    expect(stack.emulator.kinde.user(id)?.properties).toEqual({ onboarded: "true", plan_tier: "pro" });
  });

  it("is never overwritten by refreshes that were already running", async () => {
    const { refreshUser } = createFlows({
      config: stack.config,
      world: stack.world,
      store: stack.store,
      definitions,
    });
    const call = { priority: "webhook", signal: new AbortController().signal } as const;
    const remove = stack.emulator.faults.set({ kind: "latency", ms: 1_200, when: "after", user: id, count: 4 });
    const slow = [refreshUser(id, call), refreshUser(id, call)];
    await until(() => expect(stack.emulator.faults.list()[0]?.struck ?? 4).toBe(4));
    remove();
    expect((await writer.setProperties(id, { plan_tier: "pro" })).flags.tier).toBe("pro");
    expect((await Promise.all(slow)).map(({ outcome }) => outcome)).toEqual(["superseded", "superseded"]);
    expect((await stack.record(id))?.flags).toMatchObject({ tier: "pro" });
  });

  it.each([
    ["an unknown property", { no_such: 1 }, "kinde_rejected"],
    ["no properties", {}, "request_malformed"],
  ])("rejects with a code: %s", async (_what, properties, code) => {
    await expect(writer.setProperties(id, properties)).rejects.toMatchObject({ code });
  });

  it("distinguishes invalid user ids from unknown users", async () => {
    const set = (userId: string) => writer.setProperties(userId, { onboarded: true });
    await expect(set("kp_../kp_1")).rejects.toMatchObject({ code: "request_malformed" });
    await expect(set("kp_0123456789abcdef")).rejects.toMatchObject({ code: "user_not_found" });
  });

  it("reports invalid settings at the first write", async () => {
    const unset = createWriter({ definitions, env: {} });
    await expect(unset.setProperties(id, { onboarded: true })).rejects.toMatchObject({ code: "configuration_invalid" });
    await unset.close();
  });

  it("recovers if Redis was down at first and reports when it is down", async () => {
    const wire = await startWire(testRedisUrl());
    const env = { ...envOf(stack.config), REDIS_URL: wire.url, KINDLING_REDIS_TIMEOUT: "300ms" };
    const wired = createWriter({ definitions, env });
    const set = () => wired.setProperties(id, { onboarded: true });
    wire.cut();
    await expect(set()).rejects.toMatchObject({ code: "redis_unavailable" });
    wire.restore();
    await until(async () => expect((await set()).flags.onboarded).toBe(true));
    wire.cut();
    await expect(set()).rejects.toMatchObject({ code: "redis_unavailable" });
    await wired.close();
    await wire.close();
  });

  it("refuses writes once its store belongs to another tenant", async () => {
    const env = { ...envOf(stack.config), KINDLING_WATCH_INTERVAL: "50ms" };
    const watching = createWriter({ definitions, env });
    const set = () => watching.setProperties(id, { onboarded: true });
    await set();
    await stack.store.redis.set(stack.store.keys.tenant, JSON.stringify({ v: 1, domain: "https://other.kinde.com" }));
    await until(() => expect(set()).rejects.toMatchObject({ code: "tenant_mismatch" }));
    await watching.close();
  });

  it("rejects with the reason of the signal when aborted", async () => {
    stack.emulator.faults.set({ kind: "hang", method: "PATCH" });
    const stop = new AbortController();
    const setting = writer.setProperties(id, { onboarded: true }, { signal: stop.signal });
    await until(() => expect(stack.emulator.faults.list()[0]?.struck).toBe(1));
    stop.abort(new Error("The visitor left."));
    await expect(setting).rejects.toThrow("The visitor left.");
  });

  it("rejects writes after it is closed, even if it was never used", async () => {
    await writer.close();
    await expect(writer.setProperties(id, { onboarded: true })).rejects.toMatchObject({ code: "closed" });
  });
});
