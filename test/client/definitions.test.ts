import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReader, defineFlags, fresh, organizationProperty, permission, plan, property, role } from "kindling";
import {
  blankProfile,
  isPartMissing,
  PartMissing,
  type Profile,
  type ProfilePart,
  parseFlagsRecord,
  profileParts,
} from "kindling/contract";
import { describe, expect, expectTypeOf, it } from "vitest";
import { heldParts, keepParts } from "../../src/kinde/keep-parts.ts";
import { loadDefinitions } from "../../src/load-definitions.ts";

const profile = (properties: Record<string, string | null>, rest: Partial<Profile> = {}): Profile => ({
  ...blankProfile("kp_1"),
  properties,
  ...rest,
});

describe("a property flag", () => {
  const flags = defineFlags({
    onboarded: property.boolean("onboarded", { default: false }),
    seats: property.number("seats", { default: 1 }),
    region: property.string("region", { default: null }),
    tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  });

  it.each<[Record<string, string | null>, object]>([
    [{}, {}],
    [{ onboarded: null, seats: null, region: null, plan_tier: null }, {}],
    [{ onboarded: "", seats: " ", region: "", plan_tier: "" }, { region: "" }],
    [
      { onboarded: "true", seats: "12", region: "eu", plan_tier: "pro" },
      { onboarded: true, seats: 12, region: "eu", tier: "pro" },
    ],
    [
      { onboarded: " TRUE ", seats: "-1.5e3" },
      { onboarded: true, seats: -1500 },
    ],
  ])("derives its value from the properties %j", (properties, expected) => {
    expect(flags.derive(profile(properties))).toEqual({ flags: { ...flags.defaults, ...expected }, misfits: [] });
  });

  it.each<[Record<string, string>, string, string]>([
    [{ plan_tier: "gold" }, "tier", '"gold" is not one of free, pro'],
    [{ onboarded: "yes" }, "onboarded", '"yes" is not true or false'],
    [{ onboarded: "constructor" }, "onboarded", '"constructor" is not true or false'],
    [{ seats: "many" }, "seats", '"many" is not a number'],
    [{ seats: "Infinity" }, "seats", '"Infinity" is not a number'],
    [{ seats: "x".repeat(101) }, "seats", `"${"x".repeat(100)}"… is not a number`],
  ])("uses the default for a value that does not fit and reports the misfit: %j", (properties, flag, reason) => {
    expect(flags.derive(profile(properties))).toEqual({ flags: flags.defaults, misfits: [{ flag, reason }] });
  });

  it("infers its type from the builder and the default", () => {
    expectTypeOf(flags.defaults).toEqualTypeOf<
      Readonly<{ onboarded: boolean; seats: number; region: string | null; tier: "free" | "pro" }>
    >();
  });
});

describe("permission, role and plan flags", () => {
  const held = profile(
    {},
    {
      organizations: [
        { code: "org_1", roles: [{ id: "1", key: "owner" }], permissions: [{ id: "2", key: "admin:access" }] },
        { code: "org_2", roles: [], permissions: [] },
      ],
      billing: { customerId: "c", agreements: [{ id: "a", planCode: "pro" }] },
    },
  );

  it("apply to any organization, or to the one named", () => {
    const { flags } = defineFlags({
      admin: permission("admin:access"),
      here: permission("admin:access", { organization: "org_1" }),
      there: permission("admin:access", { organization: "org_2" }),
      owner: role("owner"),
      guest: role("guest"),
      pro: plan("pro"),
      team: plan("team"),
    }).derive(held);
    expect(flags).toEqual({ admin: true, here: true, there: false, owner: true, guest: false, pro: true, team: false });
  });

  it("declare the parts of the profile they need", () => {
    expect([...defineFlags({ a: permission("x"), b: plan("y") }).needs].sort()).toEqual(["billing", "permissions"]);
    expect([...defineFlags({ a: property.string("x", { default: null }) }).needs]).toEqual([]);
  });
});

describe("a function flag", () => {
  it("takes its default from the function's answer for an unknown user", () => {
    const flags = defineFlags({
      suspended: (user: Profile) => user.isSuspended,
      size: (user) => user.organizations.length,
    });
    expect(flags.defaults).toEqual({ suspended: false, size: 0 });
    expect(flags.derive(profile({}, { isSuspended: true })).flags).toEqual({ suspended: true, size: 0 });
    expectTypeOf(flags.defaults.suspended).toEqualTypeOf<boolean>();
  });

  it("is rejected by defineFlags if it throws for an unknown user", () => {
    const bad = () => defineFlags({ city: (user: Profile) => (user.properties.address as string).length });
    expect(bad).toThrow(/"city"/);
  });

  it("has a default, and a deny value, as a record would hold it", async () => {
    const methods = { name: "none", greet() {} };
    const flags = defineFlags({
      plain: () => methods,
      strict: fresh(() => methods, { maxAge: 1, whenOlder: "deny", value: methods }),
    });
    expect(flags.defaults).toEqual({ plain: { name: "none" }, strict: { name: "none" } });
    const reader = createReader({ redis: { get: async () => null }, definitions: flags });
    const first = await reader.get("kp_1");
    first.flags.strict.name = "changed";
    expect((await reader.get("kp_1")).flags).toEqual({ plain: { name: "none" }, strict: { name: "none" } });
    const deny = () => fresh((): unknown => "none", { maxAge: 1, whenOlder: "deny", value: 1n });
    expect(deny).toThrow(expect.objectContaining({ code: "flag_malformed" }));
  });

  it("cannot have a name that answers cannot hold", () => {
    const bad = () => defineFlags({ ["__proto__"]: () => true });
    expect(bad).toThrow(expect.objectContaining({ code: "flag_malformed" }));
  });

  it("uses its default and reports a misfit if it throws for one user", () => {
    const flags = defineFlags({ city: (user: Profile) => JSON.parse(user.properties.address ?? '"none"') as string });
    expect(flags.derive(profile({ address: "{" }))).toEqual({
      flags: { city: "none" },
      misfits: [{ flag: "city", reason: "the function threw" }],
    });
  });

  it.each<[string, () => unknown, string]>([
    ["a promise that rejects", () => Promise.reject(new Error("refused")), "a promise"],
    ["a BigInt", () => 1n, "a value that JSON cannot hold"],
    ["a symbol", () => Symbol("city"), "a value that JSON cannot hold"],
    ["a circular object", circular, "a value that JSON cannot hold"],
    ["a deep object", () => nested(101), "a value of more than 100 levels"],
    ["a deep object's JSON", () => ({ toJSON: () => nested(101) }), "a value of more than 100 levels"],
  ])("uses its default and reports a misfit if it returns %s for one user", (_name, value, problem) => {
    const flags = defineFlags({ city: (user: Profile): unknown => (user.id === "kp_1" ? value() : "none") });
    expect(flags.derive(profile({}, { id: "kp_1" }))).toEqual({
      flags: { city: "none" },
      misfits: [{ flag: "city", reason: `the function returned ${problem}` }],
    });
    expect(() => defineFlags({ city: () => value() })).toThrow(/"city"/);
  });

  it("can have a value of a hundred levels, in an organization too", () => {
    const flags = defineFlags({ city: (user: Profile): unknown => (user.id === "kp_1" ? nested(100) : "none") });
    const values = flags.derive(profile({}, { id: "kp_1" }));
    expect(values).toEqual({ flags: { city: nested(100) }, misfits: [] });
    const record = { status: "present", fetchedAt: 1, ticket: 1, schema: "abc" };
    const organizations = { org_1: values.flags };
    expect(parseFlagsRecord(JSON.stringify({ ...record, flags: values.flags, organizations }))).toBeDefined();
    const deeper = { org_1: { city: nested(101) } };
    expect(parseFlagsRecord(JSON.stringify({ ...record, flags: {}, organizations: deeper }))).toBeUndefined();
  });

  it("throws PartMissing when its value contains a part that was not fetched", () => {
    const flags = defineFlags({ teams: (user: Profile) => user.organizations });
    const user = profile({}, { organizations: [{ code: "org_1", roles: [], permissions: [] }] });
    expect(() => flags.derive(user, new Set())).toThrow(PartMissing);
    expect(flags.derive(user, new Set(["roles", "permissions"])).flags.teams).toEqual(user.organizations);
  });

  it("throws PartMissing when it reads a part that was not fetched", () => {
    const flags = defineFlags({ roles: (user: Profile) => user.organizations.flatMap((o) => o.roles).length });
    const user = profile({}, { organizations: [{ code: "org_1", roles: [], permissions: [] }] });
    expect(() => flags.derive(user, new Set())).toThrow(PartMissing);
    expect(flags.derive(user, new Set(["roles"])).flags).toEqual({ roles: 0 });
    expect(flags.mayNeed("billing")).toBe(true);
  });
});

describe("a flag with limited age", () => {
  const tier = property.oneOf("plan_tier", ["free", "pro"], { default: "free" });

  // What JavaScript lets pass would answer the old value, or nothing, where the flag is to deny.
  it.each<[string, unknown]>([
    ["maxAge", { whenOlder: "serve" }],
    ["maxAge", { maxAge: "60000", whenOlder: "serve" }],
    ["maxAge", { maxAge: Number.NaN, whenOlder: "refresh" }],
    ["maxAge", { maxAge: -1, whenOlder: "refresh" }],
    ["whenOlder", { maxAge: 1 }],
    ["whenOlder", { maxAge: 1, whenOlder: "Deny", value: "free" }],
    ["value", { maxAge: 1, whenOlder: "deny" }],
    ["value", { maxAge: 1, whenOlder: "deny", value: "gold" }],
  ])("is rejected without a valid %s: %j", (what, freshness) => {
    const problem = expect.objectContaining({ code: "flag_malformed", message: expect.stringContaining(what) });
    expect(() => fresh(tier, freshness as never)).toThrow(problem);
  });

  it("may deny with any value that it can have, at any age", () => {
    expect(fresh(tier, { maxAge: 0, whenOlder: "deny", value: "pro" }).freshness).toMatchObject({ value: "pro" });
    const suspended = fresh((user) => user.isSuspended, {
      maxAge: Number.POSITIVE_INFINITY,
      whenOlder: "deny",
      value: true,
    });
    expect(suspended.freshness).toMatchObject({ value: true });
  });
});

describe("a flag that denies", () => {
  const broken = fresh((user: Profile) => (JSON.parse(user.properties.state ?? "{}") as { on?: boolean }).on === true, {
    maxAge: 60_000,
    whenOlder: "deny",
    value: true,
  });
  const unfit = fresh(property.boolean("state", { default: false }), { maxAge: 1, whenOlder: "deny", value: true });
  const served = fresh(property.boolean("state", { default: false }), { maxAge: 1, whenOlder: "serve" });
  const inside = fresh(organizationProperty.boolean("state", { default: false }), {
    maxAge: 1,
    whenOlder: "deny",
    value: true,
  });

  it("has its deny value, not its default, where its own does not fit or its function throws", () => {
    const flags = defineFlags({ broken, unfit, served, inside });
    const organization = { code: "org_1", roles: [], permissions: [], properties: { state: "gold" } };
    const derived = flags.derive(profile({ state: "gold" }, { organizations: [organization] }));
    expect(derived.flags).toEqual({ broken: true, unfit: true, served: false, inside: false });
    expect(derived.organizations?.org_1).toEqual({ inside: true });
    expect(derived.misfits.map(({ flag }) => flag).sort()).toEqual(["broken", "inside", "served", "unfit"]);
    const unset = { broken: false, unfit: false, served: false, inside: false };
    expect(flags.derive(profile({})).flags).toEqual(unset);
    expect(flags.defaults).toEqual(unset);
  });
});

describe("the fingerprint of definitions", () => {
  it("is stable for equal definitions and differs for changed ones", () => {
    const one = () => defineFlags({ a: property.boolean("a", { default: false }) });
    expect(one().schema).toBe(one().schema);
    expect(one().schema).toMatch(/^[0-9a-f]{12}$/);
    expect(defineFlags({ a: property.boolean("a", { default: true }) }).schema).not.toBe(one().schema);
    expect(defineFlags({ b: property.boolean("a", { default: false }) }).schema).not.toBe(one().schema);
  });
});

describe("keepParts", () => {
  it("drops the parts that the setting leaves out, and details of identities by default", () => {
    const user = profile(
      { a: "1" },
      { email: "ada@example.com", isSuspended: true, identities: [{ type: "email", identity: "ada@example.com" }] },
    );
    const usual = new Set(["account", "properties", "organizations", "roles", "permissions", "billing"] as const);
    expect(keepParts(user, usual).identities).toEqual([{ type: "email" }]);
    expect(keepParts(user, new Set(["identities"] as const)).identities).toEqual(user.identities);
    expect(keepParts(user, new Set())).toEqual({
      ...blankProfile("kp_1"),
      isSuspended: true,
      identities: [{ type: "email" }],
      parts: 0,
    });
  });

  it("records which parts the profile holds: roles and permissions only within organizations", () => {
    const held = (...keep: ProfilePart[]) => [...heldParts(keepParts(profile({}), new Set(keep)))];
    expect(held(...profileParts)).toEqual(profileParts);
    expect(held("billing", "account")).toEqual(["account", "billing"]);
    expect(held("roles", "permissions")).toEqual([]);
    expect([...heldParts(profile({}))]).toEqual([]);
  });
});

describe("the flags file", () => {
  const file = async (text: string) => {
    const path = join(await mkdtemp(join(tmpdir(), "kindling-flags-")), "kindling.flags.ts");
    await writeFile(path, text);
    return path;
  };

  it("loads as TypeScript without a build step", async () => {
    const flags = await loadDefinitions("kindling.flags.ts");
    expect(flags.defaults).toEqual({ onboarded: false, tier: "free", region: null, admin: false, suspended: false });
  });

  it("can import kindling from any folder", async () => {
    const path = await file(
      'import { defineFlags, role } from "kindling";\nexport default defineFlags({ owner: role("owner") as never });',
    );
    expect((await loadDefinitions(path)).defaults).toEqual({ owner: false });
  });

  it.each([
    ["const x: = 1", /does not load/],
    ["export default {}", /must export by default/],
    ["throw new Error('boom')", /boom/],
  ])("is rejected with its path if it contains %j", async (text, message) => {
    const path = await file(text);
    await expect(loadDefinitions(path)).rejects.toThrow(message);
    await expect(loadDefinitions(path)).rejects.toThrow(path);
  });

  it("is rejected with instructions if it does not exist", async () => {
    await expect(loadDefinitions("/nowhere/kindling.flags.ts")).rejects.toThrow(/there is no file .*KINDLING_FLAGS/);
  });
});

describe("a flags file with its own copy of the package", () => {
  it("throws a PartMissing that isPartMissing recognizes", async () => {
    const folder = await mkdtemp(join(tmpdir(), "kindling-flags-"));
    const path = join(folder, "kindling.flags.ts");
    await writeFile(
      path,
      'import { defineFlags } from "kindling";\nexport default defineFlags({ roles: (user) => user.organizations.flatMap((o) => o.roles).length });',
    );
    const flags = await loadDefinitions(path);
    const user = profile({}, { organizations: [{ code: "org_1", roles: [], permissions: [] }] });
    const error = await Promise.resolve()
      .then(() => flags.derive(user, new Set()))
      .catch((reason: unknown) => reason);
    expect(isPartMissing(error)).toBe(true);
  });
});

function nested(levels: number): unknown {
  return JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`);
}

function circular(): unknown {
  const object: Record<string, unknown> = {};
  object.self = object;
  return object;
}
