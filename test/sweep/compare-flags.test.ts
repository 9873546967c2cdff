import { type Definitions, defineFlags, organizationProperty, permission, property } from "kindling";
import { blankProfile, type FlagsRecord, type Profile, type ProfilePart, profileParts } from "kindling/contract";
import { describe, expect, it } from "vitest";
import { keepParts, partsToKeep } from "../../src/kinde/keep-parts.ts";
import type { SearchedUser } from "../../src/kinde/search-users.ts";
import { compareFlags, findFlagDifference } from "../../src/sweep/compare-flags.ts";
import { findDifference } from "../../src/sweep/find-difference.ts";
import { judgeUser } from "../../src/sweep/judge-user.ts";

const organization = {
  code: "org_1",
  roles: [{ id: "r1", key: "chief" }],
  permissions: [{ id: "p1", key: "admin:access" }],
};
const user: Profile = {
  ...blankProfile("kp_1"),
  email: "ada@example.com",
  phone: "+61400000000",
  properties: { plan_tier: "pro", nickname: null },
  organizations: [organization],
  identities: [{ type: "email", identity: "ada@example.com" }],
};

/** The search omits unset properties. */
const searched = (changes: Partial<SearchedUser> = {}): SearchedUser => {
  const { phone: _phone, billing: _billing, ...listed } = user;
  return { ...listed, organizations: ["org_1"], properties: { plan_tier: "pro" }, ...changes };
};

const recordOf = ({ schema }: Definitions, flags: FlagsRecord["flags"]): FlagsRecord => ({
  flags,
  status: "present",
  fetchedAt: 1,
  ticket: 7,
  schema,
});

function compare(
  definitions: Definitions,
  {
    record,
    keep = profileParts,
    list = searched(),
  }: { record?: FlagsRecord; keep?: readonly ProfilePart[]; list?: SearchedUser } = {},
) {
  const profile = JSON.parse(JSON.stringify(keepParts(user, new Set(keep)))) as Profile;
  return compareFlags(definitions, record ?? recordOf(definitions, definitions.derive(user).flags), profile, list);
}

const tier = property.oneOf("plan_tier", ["free", "pro"], { default: "free" });
const admin = permission("admin:access");

describe("comparing a record's flags with the current definitions", () => {
  it("finds no difference where there is none, whatever the profile keeps", () => {
    const definitions = defineFlags({
      tier,
      admin,
      reachable: ({ phone, email }) => phone !== null || email !== null,
      nickname: ({ properties }) => properties.nickname !== undefined,
      identities: ({ identities }) => identities.map(({ identity }) => identity ?? null),
    });
    expect(compare(definitions)).toEqual({ verdict: "same" });
    for (const part of profileParts) {
      const keep = profileParts.filter((each) => each !== part || each === "properties");
      expect(compare(definitions, { keep })).toEqual({ verdict: "same" });
    }
  });

  it("derives the flags again if a constant outside a function changed, which the fingerprint does not show", () => {
    let limit = 1;
    const definitions = () => defineFlags({ big: ({ organizations }) => organizations.length >= limit, tier });
    const before = definitions();
    limit = 2;
    const after = definitions();
    expect(after.schema).toBe(before.schema);
    const record = recordOf(before, { big: true, tier: "pro" });
    expect(compare(after, { record })).toEqual({ verdict: "derived", flags: { big: false, tier: "pro" } });
  });

  it("derives the flags again if only the fingerprint changed", () => {
    const record = { ...recordOf(defineFlags({ tier }), { tier: "pro" }), schema: "another" };
    expect(compare(defineFlags({ tier }), { record })).toEqual({ verdict: "derived", flags: { tier: "pro" } });
  });

  it("requires a fetch if new definitions read a part that the profile does not hold", () => {
    const record = recordOf(defineFlags({ tier }), { tier: "pro" });
    const fetch = { verdict: "different", field: "flag definitions" };
    expect(compare(defineFlags({ tier, admin }), { record, keep: ["properties", "organizations"] })).toEqual(fetch);
    expect(compare(defineFlags({ email: ({ email }) => email }), { record, keep: [] })).toEqual(fetch);
    const details = defineFlags({
      mail: ({ identities }) => identities.some(({ identity }) => identity !== undefined),
    });
    expect(compare(details, { record, keep: ["account"] })).toEqual(fetch);
    expect(compare(defineFlags({ customer: ({ billing }) => billing.customerId }), { record, keep: [] })).toEqual(
      fetch,
    );
  });

  it("derives from the page what the profile does not hold, and requires a fetch if that differs", () => {
    const definitions = defineFlags({ tier, admin });
    const keep = ["organizations"] as const;
    expect(compare(definitions, { keep })).toEqual({ verdict: "same" });
    const list = searched({ properties: { plan_tier: "free" } });
    expect(compare(definitions, { keep, list })).toEqual({ verdict: "different", field: "flags.tier" });
  });

  it("never takes a part that nothing shows for an empty one", () => {
    const definitions = defineFlags({
      admin,
      reachable: ({ phone }) => phone !== null,
      paying: ({ billing }) => billing.agreements.length > 0,
    });
    const record = recordOf(definitions, { admin: true, reachable: true, paying: true });
    expect(compare(definitions, { record, keep: [] })).toEqual({ verdict: "same" });
  });

  it("updates what it can derive if other flags need a fetch, without one", () => {
    let hour = 1;
    const definitions = defineFlags({ tier, admin, hour: ({ properties }) => (properties.plan_tier ? hour : 0) });
    hour = 2;
    const record = recordOf(definitions, { tier: "pro", admin: true, hour: 1 });
    expect(compare(definitions, { record, keep: ["properties", "organizations"] })).toEqual({
      verdict: "derived",
      flags: { tier: "pro", admin: true, hour: 2 },
    });
  });

  it("takes the default in place of a value that JSON cannot hold", () => {
    const definitions = defineFlags({ tier, count: ({ id }) => (id === user.id ? 1n : 0) });
    const record = recordOf(definitions, { tier: "pro", count: 0 });
    expect(compare(definitions, { record })).toEqual({ verdict: "same" });
    expect(
      compare(defineFlags({ none: () => undefined }), { record: recordOf(defineFlags({ none: () => undefined }), {}) }),
    ).toEqual({
      verdict: "same",
    });
  });
});

describe("comparing flags of the current organization", () => {
  const here = { adminHere: permission("admin:access", { in: "current" }) };
  const definitions = defineFlags({ tier, ...here });
  const derived = definitions.derive(user);
  const record = (changes: Partial<FlagsRecord> = {}): FlagsRecord => ({
    ...recordOf(definitions, derived.flags),
    organizations: derived.organizations,
    ...changes,
  });

  it("finds no difference where there is none", () => {
    expect(compare(definitions, { record: record() })).toEqual({ verdict: "same" });
  });

  it("derives them again for a record that lacks them, or was derived from other definitions", () => {
    const again = { verdict: "derived", flags: derived.flags, organizations: derived.organizations };
    expect(compare(definitions, { record: record({ organizations: undefined }) })).toEqual(again);
    expect(compare(definitions, { record: record({ organizations: { "*": { adminHere: false } } }) })).toEqual(again);
    expect(compare(definitions, { record: record({ schema: "older" }) })).toEqual(again);
  });

  it("drops them once no flag depends on the organization", () => {
    const plain = defineFlags({ tier });
    const answer = compare(plain, {
      record: { ...recordOf(plain, { tier: "pro" }), organizations: derived.organizations },
    });
    expect(answer).toEqual({ verdict: "derived", flags: { tier: "pro" } });
  });

  it("leaves what the profile does not hold to a refresh, and keeps it when other flags change", () => {
    const withSeats = defineFlags({ tier, ...here, seats: organizationProperty.number("seats", { default: 1 }) });
    const organizations = { "*": { adminHere: false, seats: 1 }, org_1: { adminHere: true, seats: 5 } };
    const stored = { ...recordOf(withSeats, { tier: "pro", adminHere: false, seats: 1 }), organizations };
    expect(compare(withSeats, { record: stored })).toEqual({ verdict: "same" });
    expect(compare(withSeats, { record: { ...stored, schema: "older" } })).toEqual({
      verdict: "different",
      field: "flag definitions",
    });
    expect(compare(withSeats, { record: { ...stored, flags: { ...stored.flags, tier: "free" } } })).toEqual({
      verdict: "derived",
      flags: stored.flags,
      organizations,
    });
    const keep = profileParts.filter((part) => part !== "permissions");
    expect(compare(definitions, { record: record({ schema: "older" }), keep })).toMatchObject({ verdict: "different" });
  });

  it("finds a value that differs beside flags that read what the profile does not hold", () => {
    const withSeats = defineFlags({ ...here, seats: organizationProperty.number("seats", { default: 1 }) });
    const stored = (organizations: FlagsRecord["organizations"]) => ({
      ...recordOf(withSeats, { adminHere: false, seats: 1 }),
      organizations,
    });
    const find = (organizations: FlagsRecord["organizations"]) =>
      findFlagDifference(withSeats, stored(organizations), keepParts(user, new Set(profileParts)));
    const others = { "*": { adminHere: false, seats: 1 } };
    expect(find({ ...others, org_1: { adminHere: true, seats: 5 } })).toBeUndefined();
    expect(find({ ...others, org_1: { seats: 5 } })).toBe("adminHere");
    expect(find(undefined)).toBe("adminHere");
    // Of too many organizations, the record holds some.
    expect(find({ org_2: { adminHere: false, seats: 1 } })).toBeUndefined();
    // The user has left this one.
    expect(find({ ...others, org_1: { adminHere: true, seats: 5 }, org_2: { seats: 7 } })).toBe("seats");
    const left = stored({ ...others, org_2: { seats: 7 } });
    expect(compare(withSeats, { record: left, keep: ["account"] })).toEqual({
      verdict: "different",
      field: "flags.seats",
    });
  });

  it("keeps the codes of organizations for them, so that a sweep finds a user who joined one", () => {
    const seats = defineFlags({ seats: organizationProperty.number("seats", { default: 1 }) });
    const keep = partsToKeep(new Set(["account"] as const), seats);
    expect([...keep]).toEqual(["account", "organizations"]);
    const stored = { flags: recordOf(seats, { seats: 1 }), profile: keepParts(user, keep) };
    const options = { keep, signIns: true };
    const list = searched({ organizations: ["org_1", "org_2"] });
    expect(findDifference(stored, list, options)).toBe("organizations");
    expect([...partsToKeep(new Set(["account"] as const), defineFlags({ tier }))]).toEqual(["account"]);
  });

  it("has a user fetched who cannot be compared", () => {
    const definitions = defineFlags({ tier });
    const profile = { ...keepParts(user, new Set(profileParts)), lastSignedIn: 5 as never };
    const stored = { flags: recordOf(definitions, { tier: "pro" }), profile };
    const options = { definitions, keep: new Set(profileParts), signIns: true, now: () => 1_000, indexLagMs: 0 };
    const list = searched({ lastSignedIn: "2026-01-02T03:04:05Z" });
    expect(judgeUser(options, list, stored)).toEqual({ verdict: "different", field: "not comparable" });
  });

  it("never takes a property of an organization that the page does not show for an unset one", () => {
    const functions = defineFlags({
      seats: ({ organizations }) => organizations.map(({ properties }) => properties?.seats ?? null),
    });
    const stored = recordOf(functions, { seats: ["5"] });
    for (const keep of [profileParts, ["properties"] as const]) {
      expect(compare(functions, { record: stored, keep })).toEqual({ verdict: "same" });
    }
  });
});
