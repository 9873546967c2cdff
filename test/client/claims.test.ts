import type { JWTPayload } from "jose";
import { createReader, defineFlags, fresh, permission, plan, property, type ReaderRedis, role } from "kindling";
import { describe, expect, it } from "vitest";
import { deriveFromClaims, issuedAt } from "../../packages/kindling/src/definitions/claims.ts";

const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  region: property.string("compliance_region", { default: null }),
  admin: permission("admin:access"),
  adminElsewhere: permission("admin:access", { organization: "org_b" }),
  editor: role("editor"),
  gold: plan("gold"),
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 1_000, whenOlder: "serve" }),
  tierOrFree: (profile) => profile.properties.plan_tier ?? "free",
  named: (profile) => profile.firstName !== null,
});

describe("flags derived from claims", () => {
  it("include only those that the token determines", () => {
    const claims = {
      sub: "kp_1",
      org_code: "org_a",
      permissions: ["admin:access"],
      roles: [{ id: "1", key: "editor", name: "Editor" }],
      user_properties: { onboarded: { v: true }, plan_tier: { v: "pro" } },
    };
    expect(deriveFromClaims(definitions, claims)).toEqual({
      onboarded: true,
      tier: "pro",
      admin: true,
      editor: true,
      tierOrFree: "pro",
    });
  });

  it("leave out what other organizations decide, if the token does not list them", () => {
    const list = (org_codes?: unknown) => {
      const claims = { sub: "kp_1", org_code: "org_a", permissions: ["admin:access"], org_codes };
      const [admin, held] = ["admin:access", "billing:locked"];
      const flags = defineFlags({
        admin: permission(admin),
        adminHere: permission(admin, { organization: "org_a" }),
        lockedHere: permission(held, { organization: "org_a" }),
        adminInCurrent: permission(admin, { in: "current" }),
        lockedInCurrent: permission(held, { in: "current" }),
        locked: permission(held),
        lockedThere: permission(held, { organization: "org_b" }),
        some: ({ organizations }) => organizations.some(({ code }) => code === "org_a"),
        find: ({ organizations }) => organizations.find(({ code }) => code === "org_a")?.code ?? null,
        first: ({ organizations }) => organizations[0]?.code ?? null,
        loop({ organizations }) {
          for (const { code } of organizations) if (code === "org_a") return true;
          return false;
        },
        none: ({ organizations }) => organizations.some(({ code }) => code === "org_z"),
        every: ({ organizations }) => organizations.every(({ code }) => code === "org_a"),
        length: ({ organizations }) => organizations.length,
        second: ({ organizations }) => organizations[1]?.code ?? null,
        last: ({ organizations }) => organizations.at(-1)?.code ?? null,
        count({ organizations }) {
          let count = 0;
          for (const _ of organizations) count += 1;
          return count;
        },
        spread: ({ organizations }) => [...organizations].length,
        filter: ({ organizations }) => organizations.filter(() => true).length,
        map: ({ organizations }) => organizations.map(() => 1),
        keys: ({ organizations }) => Object.keys(organizations),
        in: ({ organizations }) => 1 in organizations,
        owns: ({ organizations }) => Object.hasOwn(organizations, 1),
        generic: ({ organizations }) => Array.prototype.includes.call(organizations, undefined),
      });
      return deriveFromClaims(flags, claims, "org_a");
    };
    const known = { admin: true, adminHere: true, lockedHere: false, adminInCurrent: true, lockedInCurrent: false };
    const unlisted = { ...known, some: true, find: "org_a", first: "org_a", loop: true };
    expect(list()).toEqual(unlisted);
    expect(list("org_a")).toEqual(unlisted);
    expect(list([7])).toEqual(unlisted);
    expect(list(["org_a"])).toMatchObject({ ...unlisted, locked: false, lockedThere: false, none: false, length: 1 });
  });

  it("leave out a permission that another organization of the user could grant", () => {
    const claims = { sub: "kp_1", org_code: "org_a", org_codes: ["org_a", "org_b"], permissions: ["admin:access"] };
    expect(deriveFromClaims(definitions, claims)).toEqual({ admin: true });
    expect(deriveFromClaims(definitions, { ...claims, permissions: [] })).toEqual({});
  });

  it("use the default for a property that is null or does not fit", () => {
    const claims = { sub: "kp_1", user_properties: { onboarded: { v: null }, plan_tier: { v: "platinum" } } };
    expect(deriveFromClaims(definitions, claims)).toEqual({ onboarded: false, tier: "free", tierOrFree: "platinum" });
  });

  it("are empty for a token that carries nothing", () => {
    expect(deriveFromClaims(definitions, { sub: "kp_1", iat: 1 })).toEqual({});
  });

  it("leave out functions that list keys or return parts of the profile, as the token carries only some", () => {
    const functions = defineFlags({
      count: (profile) => Object.keys(profile.properties).length,
      properties: (profile) => profile.properties,
      memberships: (profile) => profile.organizations,
      codes: (profile) => profile.organizations.map(({ code }) => code),
    });
    const claims = { sub: "kp_1", org_code: "org_a", org_codes: [], user_properties: { onboarded: { v: true } } };
    expect(deriveFromClaims(functions, claims)).toEqual({ codes: ["org_a"] });
  });
});

describe("a malformed claim counts as absent", () => {
  const complete: Record<string, unknown> = {
    sub: "kp_1",
    iat: 100,
    org_code: "org_a",
    org_codes: ["org_a"],
    permissions: ["admin:access"],
    roles: ["editor"],
    user_properties: { onboarded: { v: true } },
  };
  const whole = { onboarded: true, admin: true, adminElsewhere: false, editor: true };
  const without = (...names: (keyof typeof whole)[]) =>
    Object.fromEntries(Object.entries(whole).filter(([name]) => !names.includes(name as keyof typeof whole)));

  it("unlike well-formed ones", () => {
    expect(deriveFromClaims(definitions, complete)).toEqual(whole);
  });

  it.each<[string, unknown, Record<string, unknown>]>([
    ["permissions", "admin:access", without("admin")],
    ["permissions", null, without("admin")],
    ["permissions", { 0: "admin:access", length: 1 }, without("admin")],
    ["permissions", ["admin:access", 7], without("admin")],
    ["permissions", [{ key: "admin:access" }], without("admin")],
    ["permissions", [null], without("admin")],
    ["roles", 7, without("editor")],
    ["roles", null, without("editor")],
    ["roles", "editor", without("editor")],
    ["roles", ["editor", 7], without("editor")],
    ["roles", [null], without("editor")],
    ["roles", [["editor"]], without("editor")],
    ["roles", [{ id: "1" }], without("editor")],
    ["roles", [{ id: "1", key: 7 }], without("editor")],
    ["roles", [{ id: 1, key: "editor" }], without("editor")],
    ["org_code", 7, without("admin", "editor")],
    ["org_code", "", without("admin", "editor")],
    ["org_code", null, without("admin", "editor")],
    ["org_code", ["org_a"], without("admin", "editor")],
    ["org_codes", "org_b", without("adminElsewhere")],
    ["org_codes", [7], without("adminElsewhere")],
    ["org_codes", null, without("adminElsewhere")],
    ["org_codes", { org_b: true }, without("adminElsewhere")],
    ["user_properties", null, without("onboarded")],
    ["user_properties", "onboarded", without("onboarded")],
    ["user_properties", [{ v: true }], without("onboarded")],
    ["user_properties", { onboarded: null }, without("onboarded")],
    ["user_properties", { onboarded: true }, without("onboarded")],
    ["user_properties", { onboarded: {} }, without("onboarded")],
    ["user_properties", { onboarded: [true] }, without("onboarded")],
    ["user_properties", { onboarded: { v: {} } }, without("onboarded")],
    ["user_properties", { onboarded: { v: [true] } }, without("onboarded")],
    ["user_properties", { onboarded: { v: Number.NaN } }, without("onboarded")],
    ["sub", 7, whole],
  ])("%s: %j", (name, value, expected) => {
    expect(deriveFromClaims(definitions, { ...complete, [name]: value })).toEqual(expected);
  });

  it("does not spoil the other properties when one property is malformed", () => {
    const claims = { sub: "kp_1", user_properties: { onboarded: { v: {} }, plan_tier: { v: "pro" } } };
    expect(deriveFromClaims(definitions, claims)).toEqual({ tier: "pro", tierOrFree: "pro" });
  });

  it.each(["100", null, Number.NaN, Number.POSITIVE_INFINITY, {}, [100], true])("iat: %s", (iat) => {
    expect(issuedAt({ sub: "kp_1", iat: iat as number })).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe("a reader with claims", () => {
  const record = { flags: { tier: "free" }, status: "present", fetchedAt: 1_000, ticket: 1, schema: "" };
  const scores: unknown[] = [];
  const holding = (text: string | null): ReaderRedis => ({
    get: async () => text,
    mget: async () => [],
    zadd: async (_key, _greater, ...scoresAndMembers) => scores.push(...scoresAndMembers),
  });
  const reader = (text: string | null) => createReader({ redis: holding(text), definitions, now: () => 2_000 });

  it("accepts the payload that jose returns", async () => {
    const payload: JWTPayload = { sub: "kp_1", iat: 1, user_properties: { plan_tier: { v: "pro" } } };
    expect(await reader(null).get("kp_1", { claims: payload })).toMatchObject({
      flags: { tier: "pro" },
      source: "claims",
    });
  });

  it("accepts claims that an SDK types more closely", async () => {
    interface KindeToken {
      sub: string;
      org_code: string | null;
      permissions: readonly string[];
    }
    const token: KindeToken = { sub: "kp_1", org_code: "org_a", permissions: ["admin:access"] };
    expect((await reader(null).get("kp_1", { claims: token })).flags.admin).toBe(true);
  });

  it("ignores claims without a subject", async () => {
    const payload: JWTPayload = { user_properties: { plan_tier: { v: "pro" } } };
    expect(await reader(null).get("kp_1", { claims: payload })).toMatchObject({
      flags: { tier: "free" },
      source: "defaults",
    });
  });

  it.each([
    { permissions: "x", roles: [7], org_code: 7, org_codes: 7, user_properties: null },
    { permissions: [{}], roles: null, org_code: "org_a", org_codes: [null], user_properties: { plan_tier: null } },
    { user_properties: 7, iat: "soon" },
  ])("answers without throwing for malformed claims %j", async (malformed) => {
    const payload = { sub: "kp_1", iat: 9, ...malformed } as JWTPayload;
    expect((await reader(null).get("kp_1", { claims: payload })).flags).toEqual(definitions.defaults);
    expect(await reader(JSON.stringify(record)).get("kp_1", { claims: payload })).toMatchObject({ source: "record" });
  });

  it("denies what a token does not tell, and what a token from the future does", async () => {
    const locked = fresh(permission("billing:locked"), { maxAge: 60_000, whenOlder: "deny", value: true });
    const strict = defineFlags({ locked, lockedThere: permission("billing:locked", { organization: "org_b" }) });
    const read = async (iat: number, org_codes?: string[]) => {
      const claims = { sub: "kp_1", iat, org_code: "org_a", org_codes, permissions: [] };
      const options = { definitions: strict, now: () => 100_000 };
      const { flags, denied } = await createReader({ redis: holding(null), ...options }).get("kp_1", {
        claims,
        wait: 0,
      });
      return { ...flags, denied };
    };
    expect(await read(100)).toEqual({ locked: true, lockedThere: false, denied: ["locked"] });
    expect(await read(100, ["org_a"])).toEqual({ locked: false, lockedThere: false, denied: [] });
    expect(await read(104, ["org_a"])).toMatchObject({ denied: [] });
    expect(await read(161, ["org_a"])).toMatchObject({ locked: true, denied: ["locked"] });
  });

  it("answers without throwing when a flag returns a part of the profile", async () => {
    const functions = defineFlags({ properties: (profile) => profile.properties });
    const text = JSON.stringify({ ...record, flags: { properties: {} } });
    const claims = { sub: "kp_1", iat: 9, user_properties: { plan_tier: { v: "pro" } } };
    const read = (redis: ReaderRedis) => createReader({ redis, definitions: functions }).get("kp_1", { claims });
    expect((await read(holding(null))).flags).toEqual({ properties: {} });
    expect((await read(holding(text))).flags).toEqual({ properties: {} });
  });

  it("never requests a refresh for a time that is not a number", async () => {
    scores.length = 0;
    const user_properties = { plan_tier: { v: "pro" } };
    for (const iat of ["9", Number.NaN, Number.POSITIVE_INFINITY]) {
      const claims = { sub: "kp_1", iat: iat as number, user_properties };
      await reader(JSON.stringify(record)).get("kp_1", { claims });
    }
    expect(scores).toEqual([]);
    await reader(JSON.stringify(record)).get("kp_1", { claims: { sub: "kp_1", iat: 9, user_properties } });
    expect(scores).toEqual([9_000, "kp_1"]);
  });
});
