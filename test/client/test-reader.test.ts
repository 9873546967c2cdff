import { Hono } from "hono";
import { defineFlags, fresh, permission, property, type Reader } from "kindling";
import { kindlingHono } from "kindling/hono";
import { createTestReader } from "kindling/testing";
import { describe, expect, expectTypeOf, it } from "vitest";

const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
});
const create = () => createTestReader({ kp_a: { onboarded: true } }, { definitions });

describe("createTestReader", () => {
  it("answers the users' flags, and defaults for those left out", async () => {
    const reader = create();
    expect(await reader.get("kp_a")).toMatchObject({
      flags: { onboarded: true, tier: "free", suspended: false },
      status: "present",
      denied: [],
    });
    const [known, unknown] = await reader.getMany(["kp_a", "kp_b"]);
    expect([known?.status, unknown?.status]).toEqual(["present", "missing"]);
  });

  it("is typed by the definitions", () => {
    expectTypeOf(create()).toExtend<Reader<typeof definitions.defaults>>();
    // @ts-expect-error no such tier
    createTestReader({ kp_a: { tier: "gold" } }, { definitions });
    // @ts-expect-error no such flag
    create().set("kp_a", { colour: "red" });
  });

  it("can be changed during a test", async () => {
    const reader = create();
    reader.set("kp_a", { tier: "pro" });
    expect((await reader.get("kp_a")).flags).toEqual({ onboarded: true, tier: "pro", suspended: false });
    reader.delete("kp_a");
    expect(await reader.get("kp_a")).toMatchObject({ status: "deleted", flags: { onboarded: false, suspended: true } });
    reader.remove("kp_a");
    expect(await reader.get("kp_a")).toMatchObject({ status: "missing", complete: true });
    reader.set("kp_a", { tier: "pro" });
    expect((await reader.get("kp_a")).flags).toEqual({ onboarded: false, tier: "pro", suspended: false });
  });

  it("plays old records, an absent Redis and first calls as the real reader does", async () => {
    const reader = create();
    reader.set("kp_a", {}, { age: 61_000 });
    expect(await reader.get("kp_a")).toMatchObject({ age: expect.closeTo(61_000, -3), denied: ["suspended"] });
    reader.setAvailable(false);
    expect(await reader.get("kp_a")).toMatchObject({ status: "unavailable", denied: ["suspended"] });
    reader.setAvailable(true);
    const claims = { sub: "kp_new", user_properties: { onboarded: { v: true } } };
    expect(await reader.get("kp_new", { claims })).toMatchObject({ source: "claims", flags: { onboarded: true } });
  });

  it("holds flags of the current organization", async () => {
    const flags = defineFlags({
      adminHere: permission("admin:access", { in: "current" }),
      admin: permission("admin:access"),
      locked: fresh(permission("billing:locked", { in: "current" }), { maxAge: 1_000, whenOlder: "deny", value: true }),
    });
    const reader = createTestReader({ kp_a: { adminHere: true, admin: true } }, { definitions: flags });
    expect(await reader.get("kp_a", { organization: "org_a" })).toMatchObject({
      flags: { adminHere: true, admin: true, locked: false },
      denied: [],
      organization: "org_a",
    });
  });

  it("answers copies, so that one test cannot change another's users", async () => {
    const reader = create();
    Object.assign((await reader.get("kp_a")).flags, { onboarded: false });
    expect((await reader.get("kp_a")).flags.onboarded).toBe(true);
  });

  it("serves the adapters, with user ids for tokens", async () => {
    const reader = create();
    const flags = kindlingHono({ kindling: reader });
    const app = new Hono().use(flags).get("/", flags.require("onboarded"), (c) => c.text("welcome"));
    const status = async (token: string) =>
      (await app.request("/", { headers: { authorization: `Bearer ${token}` } })).status;
    expect([await status("kp_a"), await status("kp_b"), await status("nobody")]).toEqual([200, 403, 401]);
    reader.set("kp_b", { onboarded: true });
    expect(await status("kp_b")).toBe(200);
  });
});
