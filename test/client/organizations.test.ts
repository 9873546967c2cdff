import { createReader, defineFlags, fresh, organizationProperty, permission, plan, property, role } from "kindling";
import { blankProfile, type FlagsRecord, type Profile } from "kindling/contract";
import { describe, expect, expectTypeOf, it } from "vitest";

const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  admin: permission("admin:access", { in: "current" }),
  owner: role("owner", { in: "current" }),
  team: plan("team", { in: "current" }),
  seats: organizationProperty.number("seats", { default: 1 }),
  region: organizationProperty.oneOf("region", ["eu", "us"], { default: null }),
  adminAnywhere: permission("admin:access"),
  adminInB: permission("admin:access", { organization: "org_b" }),
});

const user = "kp_1";
const key = { id: "1", key: "admin:access" };
const a = { code: "org_a", roles: [{ id: "1", key: "owner" }], permissions: [key], properties: { seats: "5" } };
const b = { code: "org_b", roles: [], permissions: [], properties: { region: "moon" }, agreements: [plan1("team")] };
const profile: Profile = { ...blankProfile(user), organizations: [a, b], properties: { onboarded: "true" } };
const defaults = { admin: false, owner: false, team: false, seats: 1, region: null };

function plan1(planCode: string) {
  return { id: "agreement_1", planCode };
}

function recordOf(from: Profile, using = definitions as typeof definitions | ReturnType<typeof defineFlags>) {
  const { flags, organizations } = using.derive(from);
  return { flags, organizations, status: "present", fetchedAt: 9_000, ticket: 1, schema: using.schema } as const;
}

function readerOf(record: FlagsRecord | string | null, using: ReturnType<typeof defineFlags> = definitions) {
  const text = typeof record === "string" || record === null ? record : JSON.stringify(record);
  const gets: string[] = [];
  const redis = {
    get: async (name: string) => {
      gets.push(name);
      return text;
    },
    mget: async (names: string[]) => names.map(() => text),
  };
  return { gets, reader: createReader({ redis, definitions: using as typeof definitions, now: () => 10_000 }) };
}

describe("flags of the current organization", () => {
  it("are derived for each organization, and only where they differ from the defaults", () => {
    const derived = definitions.derive(profile);
    expect(derived.flags).toEqual({ ...defaults, onboarded: true, adminAnywhere: true, adminInB: false });
    expect(derived.organizations).toEqual({
      "*": defaults,
      org_a: { admin: true, owner: true, seats: 5 },
      org_b: { team: true },
    });
    expect(derived.misfits).toEqual([{ flag: "region", reason: '"moon" is not one of eu, us in org_b' }]);
  });

  it("are read for the given organization with one GET", async () => {
    const { reader, gets } = readerOf(recordOf(profile));
    const inA = await reader.get(user, { organization: "org_a" });
    expect(inA.flags).toEqual({ ...defaults, admin: true, owner: true, seats: 5, ...shared });
    expect(inA).toMatchObject({ organization: "org_a", source: "record", denied: [] });
    expect(gets).toHaveLength(1);
    expect((await reader.get(user, { organization: "org_b" })).flags).toEqual({ ...defaults, team: true, ...shared });
  });

  it.each([undefined, null, "", "org_c", "*", "__proto__", "constructor", ["org_a"], { code: "org_a" }])(
    "have their defaults for the organization %j",
    async (organization) => {
      const { flags, organization: read } = await readerOf(recordOf(profile)).reader.get(user, {
        organization: organization as never,
      });
      expect(flags).toEqual({ ...defaults, ...shared });
      expect(read).toBe(typeof organization === "string" && organization !== "" ? organization : null);
    },
  );

  it("are read for the organization of the claims, unless another one is given", async () => {
    const { reader } = readerOf(recordOf(profile));
    const claims = { sub: user, org_code: "org_a" };
    expect((await reader.get(user, { claims })).flags).toMatchObject({ admin: true });
    expect((await reader.get(user, { claims, organization: null })).flags).toMatchObject({ admin: false });
    expect((await reader.get(user, { claims, organization: "org_b" })).flags).toMatchObject({
      admin: false,
      team: true,
    });
    const foreign = { sub: "kp_2", org_code: "org_a" };
    expect((await reader.get(user, { claims: foreign })).flags).toMatchObject({ admin: false });
  });

  it("are read for many users", async () => {
    const results = await readerOf(recordOf(profile)).reader.getMany([user, user], { organization: "org_a" });
    expect(results.map(({ flags }) => flags.admin)).toEqual([true, true]);
  });

  it("keep the members of results that do not depend on an organization unchanged", async () => {
    const plain = defineFlags({ onboarded: property.boolean("onboarded", { default: false }) });
    expect(recordOf(profile, plain).organizations).toBeUndefined();
    expect(await readerOf(recordOf(profile, plain), plain).reader.get(user)).not.toHaveProperty("organization");
  });

  it("infer their types", () => {
    expectTypeOf(definitions.defaults.admin).toEqualTypeOf<boolean>();
    expectTypeOf(definitions.defaults.seats).toEqualTypeOf<number>();
    expectTypeOf(definitions.defaults.region).toEqualTypeOf<"eu" | "us" | null>();
    // @ts-expect-error A fixed and the current organization exclude each other.
    expect(() => permission("x", { in: "current", organization: "org_a" })).toThrow(/contradictory options/);
    // @ts-expect-error A misspelled scope must not mean "any organization".
    expect(() => role("x", { in: "curent" })).toThrow(expect.objectContaining({ code: "flag_malformed" }));
    // @ts-expect-error Plans belong to the user or to the current organization.
    expect(() => plan("x", { in: "org_a" })).toThrow(/contradictory options/);
  });

  it("do not change the fingerprints of other definitions", () => {
    const before = {
      any: permission("admin:access"),
      fixed: role("owner", { organization: "org_a" }),
      pro: plan("pro"),
      tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
    };
    expect(defineFlags(before).schema).toBe("52a3b03649ac");
    expect(Object.values(before).map(({ source }) => source)).toEqual([
      'permission "admin:access" in any organization',
      'role "owner" in org_a',
      'plan "pro"',
      'property "plan_tier" as one of free, pro, default "free"',
    ]);
  });

  const shared = { onboarded: true, adminAnywhere: true, adminInB: false };
});

describe("records of other definitions or releases", () => {
  const strict = defineFlags({
    admin: fresh(permission("admin:access", { in: "current" }), { maxAge: 60_000, whenOlder: "deny", value: false }),
    locked: fresh(organizationProperty.boolean("locked", { default: false }), {
      maxAge: 60_000,
      whenOlder: "deny",
      value: true,
    }),
  });
  const read = (record: unknown, using: ReturnType<typeof defineFlags> = strict) =>
    readerOf(JSON.stringify(record), using).reader.get(user, { wait: 0, organization: "org_a" });
  const granted = recordOf(profile, strict);

  it("are used if they hold the flag", async () => {
    expect(await read(granted)).toMatchObject({ flags: { admin: true, locked: false }, denied: [] });
  });

  it("never grant through a value that holds for any organization", async () => {
    const { organizations: _, ...older } = granted;
    const record = { ...older, flags: { admin: true, locked: false } };
    expect(await read(record)).toMatchObject({ flags: { admin: false, locked: true }, denied: ["admin", "locked"] });
    expect(await read({ ...record, organizations: { "*": { other: 1 } } })).toMatchObject({ flags: { admin: false } });
  });

  it.each([null, 7, "x", [], { "*": 3, org_a: [true] }, { org_a: { admin: "yes" } }])(
    "are denied if their organizations are %j",
    async (organizations) => {
      expect(await read({ ...granted, organizations })).toMatchObject({ denied: ["admin", "locked"] });
    },
  );

  it("do not answer for a flag that no longer depends on the organization", async () => {
    const anywhere = defineFlags({
      admin: fresh(permission("admin:access"), { maxAge: 60_000, whenOlder: "deny", value: false }),
    });
    expect(await read(granted, anywhere)).toMatchObject({ denied: ["admin"] });
  });

  it("never answer with members that every object has", async () => {
    const inherited = defineFlags({ valueOf: () => null, toString: permission("x", { in: "current" }) });
    expect(await read({ ...granted, flags: {}, organizations: {} }, inherited)).toMatchObject({
      flags: { valueOf: null, toString: false },
    });
  });

  it("keep deny values for tombstones, missing records and old ones", async () => {
    const denied = { flags: { admin: false, locked: true }, denied: ["admin", "locked"] };
    expect(await read({ ...granted, status: "deleted" })).toMatchObject(denied);
    expect(await readerOf(null, strict).reader.get(user, { wait: 0, organization: "org_a" })).toMatchObject(denied);
    expect(await read({ ...granted, fetchedAt: -60_000 })).toMatchObject(denied);
  });
});

describe("claims and the current organization", () => {
  const claims = {
    sub: user,
    org_code: "org_a",
    permissions: ["admin:access"],
    roles: ["owner"],
    organization_properties: { seats: { v: 7 } },
  };
  const missing = readerOf(null).reader;

  it("answer for the organization they were issued for", async () => {
    const result = await missing.get(user, { claims });
    expect(result).toMatchObject({ source: "claims", organization: "org_a" });
    expect(result.flags).toMatchObject({ admin: true, owner: true, seats: 7, team: false, region: null });
  });

  it("never answer for another organization, or for none", async () => {
    for (const organization of ["org_b", null]) {
      const { flags } = await missing.get(user, { claims: { ...claims, org_codes: ["org_a", "org_b"] }, organization });
      expect(flags).toMatchObject({ ...defaults });
    }
    const { flags } = await missing.get(user, { claims: { sub: user, permissions: ["admin:access"] } });
    expect(flags).toMatchObject({ admin: false });
  });

  it("do not lift the denial of a flag of another organization", async () => {
    const strict = defineFlags({
      locked: fresh(organizationProperty.boolean("locked", { default: false }), {
        maxAge: 60_000,
        whenOlder: "deny",
        value: true,
      }),
    });
    const recent = { ...claims, iat: 10, organization_properties: { locked: { v: false } } };
    const read = (organization: string) =>
      readerOf(null, strict).reader.get(user, { claims: recent, wait: 0, organization });
    expect(await read("org_a")).toMatchObject({ flags: { locked: false }, denied: [] });
    expect(await read("org_b")).toMatchObject({ flags: { locked: true }, denied: ["locked"] });
  });

  it("request a refresh if they are newer than the record and disagree about their organization", async () => {
    const requests: unknown[] = [];
    const text = JSON.stringify(recordOf({ ...profile, organizations: [] }));
    const redis = {
      get: async () => text,
      mget: async () => [],
      zadd: async (...args: unknown[]) => requests.push(args),
    };
    const reader = createReader({ redis, definitions, now: () => 10_000 });
    await reader.get(user, { claims: { sub: user, iat: 10, org_code: "org_a" } });
    expect(requests).toHaveLength(0);
    await reader.get(user, { claims: { ...claims, iat: 10 } });
    expect(requests).toHaveLength(1);
  });
});

describe("a user in very many organizations", () => {
  const codes = Array.from({ length: 4_000 }, (_, index) => `org_${String(index).padStart(11, "0")}`);
  const many = { ...profile, organizations: codes.map((code) => ({ ...a, code })) };
  const admin = defineFlags({
    admin: fresh(permission("admin:access", { in: "current" }), { maxAge: 60_000, whenOlder: "deny", value: false }),
  });

  it("has a record of bounded size, whose remaining organizations are denied", async () => {
    const record = recordOf(many, admin);
    const text = JSON.stringify(record);
    expect(text.length).toBeLessThan(70_000);
    expect(Object.keys(record.organizations ?? {}).length).toBeGreaterThan(1_000);
    const read = (organization: string | undefined) =>
      readerOf(text, admin).reader.get(user, { wait: 0, organization: organization ?? null });
    expect(await read(codes[0])).toMatchObject({ flags: { admin: true }, denied: [] });
    expect(await read(codes.at(-1))).toMatchObject({ flags: { admin: false }, denied: ["admin"] });
  });

  it("has a small record if the flags hold in few of them", () => {
    const few = {
      ...many,
      organizations: many.organizations.map((one, n) => (n % 1_000 ? { ...one, permissions: [] } : one)),
    };
    expect(Object.keys(admin.derive(few).organizations ?? {})).toHaveLength(5);
  });
});
