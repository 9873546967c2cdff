import { setMaxListeners } from "node:events";
import { fileURLToPath } from "node:url";
import { createReader, defineFlags, fresh, organizationProperty } from "kindling";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createFlows } from "../../src/service/create-flows.ts";
import { envOf, kindling } from "../cli/command-line.ts";
import { postEvent } from "../support/post-event.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import definitions from "./organization.flags.ts";

const flagsFile = fileURLToPath(new URL("organization.flags.ts", import.meta.url));
const { signal } = new AbortController();
// Some tests refresh many users at the same time.
setMaxListeners(0, signal);
const call = { priority: "webhook", signal } as const;
const org = "org_00000000001";
const other = "org_00000000002";
const defaults = { admin: false, editor: false, team: false, seats: 1 };

let stack: Stack;

beforeEach(async () => {
  const env = { KINDLING_FLAGS: flagsFile, KINDLING_INDEX_LAG: "0s", KINDLING_ORGANIZATION_MAX_AGE: "15m" };
  stack = await startStack({ emulator: { users: 1 }, env });
  const { kinde } = stack.emulator;
  kinde.createProperty("seats", { context: "org" });
  kinde.createOrganization({ code: org });
  kinde.createOrganization({ code: other });
});

afterEach(() => stack.close());

const propertyCalls = () => stack.emulator.stats.calls["GET /api/v1/organizations/{org_code}/properties"] ?? 0;
const organizationsOf = async (id: string) => (await stack.record(id))?.organizations;
const flows = (using = definitions as Parameters<typeof createFlows>[0]["definitions"]) =>
  createFlows({ config: stack.config, world: stack.world, store: stack.store, definitions: using });

/** Makes all that is known about organizations older than KINDLING_ORGANIZATION_MAX_AGE. */
async function age() {
  const { redis, keys } = stack.store;
  for (const key of await redis.keys(keys.organization("*"))) {
    const entry = JSON.parse((await redis.get(key)) ?? "{}");
    await redis.set(key, JSON.stringify({ ...entry, fetchedAt: entry.fetchedAt - 16 * 60_000 }));
  }
}

async function sweep() {
  const { sweeps, queues } = stack.store;
  const before = (await sweeps.last())?.mark.number ?? 0;
  await queues.enqueueSweep();
  await until(async () => expect((await sweeps.last())?.mark.number).toBeGreaterThan(before));
}

describe("the flags of each of a user's organizations", () => {
  it("reach the reader, and follow events about the user's roles", async () => {
    const { emulator, store, config } = stack;
    stack.subscribe();
    emulator.kinde.setOrganizationProperties(org, { seats: "7" });
    const { id } = emulator.kinde.createUser({
      properties: { plan_tier: "pro" },
      organizations: [
        { code: org, permissions: ["admin:access"] },
        { code: other, roles: ["editor"] },
      ],
    });
    const reader = createReader({ redis: store.redis, definitions, prefix: config.prefix });
    await until(async () =>
      expect((await reader.get(id, { organization: org })).flags).toEqual({
        ...defaults,
        tier: "pro",
        admin: true,
        seats: 7,
      }),
    );
    expect((await reader.get(id, { organization: other })).flags).toMatchObject({ editor: true, admin: false });
    expect((await reader.get(id)).flags).toEqual({ ...defaults, tier: "pro" });
    emulator.kinde.setPermissions(id, org, []);
    await until(async () =>
      expect((await reader.get(id, { organization: org })).flags).toMatchObject({ admin: false, seats: 7 }),
    );
    emulator.kinde.deleteRole("editor");
    await until(async () => expect(await organizationsOf(id)).toEqual({ "*": defaults, [org]: { seats: 7 } }));
    reader.close();
  });

  it("follow events about the organization's plan for all its members", async () => {
    const { emulator } = stack;
    stack.subscribe();
    const members = ["a", "b", "c"].map(() => emulator.kinde.createUser({ organizations: [org] }).id);
    await until(async () => {
      for (const id of members) expect(await organizationsOf(id)).toEqual({ "*": defaults });
    });
    emulator.kinde.assignOrganizationPlan(org, "team");
    await until(async () => {
      for (const id of members) expect(await organizationsOf(id)).toEqual({ "*": defaults, [org]: { team: true } });
    });
    emulator.kinde.cancelOrganizationPlan(org);
    await until(async () => {
      for (const id of members) expect(await organizationsOf(id)).toEqual({ "*": defaults });
    });
  });

  it("follow an event about a plan that names a user beside the organization", async () => {
    const { emulator, webhookUrl } = stack;
    const [payer, ...members] = ["a", "b", "c"].map((name) =>
      emulator.kinde.createUser({ firstName: name, organizations: [name === "a" ? other : org] }),
    );
    const { refreshUser } = flows();
    for (const { id } of members) await refreshUser(id, call);
    const data = { user: { id: payer?.id }, organization: { code: org }, plan: { code: "team" } };
    emulator.kinde.assignOrganizationPlan(org, "team");
    expect(await postEvent(emulator, webhookUrl, { type: "customer.plan_changed", data })).toMatchObject({
      status: 200,
    });
    await until(async () => {
      for (const { id } of members) expect(await organizationsOf(id)).toEqual({ "*": defaults, [org]: { team: true } });
    });
    expect(await organizationsOf(payer?.id ?? "")).toEqual({ "*": defaults });
  });

  it("are filled from Kinde's lists for users without an organization, and by a refresh for members", async () => {
    const { emulator } = stack;
    emulator.kinde.setOrganizationProperties(org, { seats: "7" });
    const [alone, member] = emulator.kinde.importUsers([{}, { organizations: [org] }]).map(({ id }) => id);
    const fallback = emulator.kinde.organizations().find(({ isDefault }) => isDefault);
    emulator.kinde.removeFromOrganization(alone ?? "", fallback?.code ?? "");
    await sweep();
    await until(async () =>
      expect(await organizationsOf(member ?? "")).toEqual({ "*": defaults, [org]: { seats: 7 } }),
    );
    expect(await organizationsOf(alone ?? "")).toEqual({ "*": defaults });
    expect(stack.emulator.stats.recent.some(({ user }) => user === alone)).toBe(false);
  });

  it("are shown by kindling inspect", async () => {
    const { id } = stack.emulator.kinde.createUser({ organizations: [{ code: org, permissions: ["admin:access"] }] });
    await flows().refreshUser(id, call);
    const env = envOf(stack.config);
    const { stdout } = await kindling(["inspect", id, "--live"], env);
    expect(stdout).toMatch(
      /admin +false, true in org_00000000001 +permission "admin:access" in the current organization/,
    );
    expect(stdout).toContain("no difference");
    stack.emulator.kinde.setOrganizationProperties(org, { seats: "9" });
    const { json } = await kindling(["inspect", id, "--live", "--json"], env);
    expect(json).toMatchObject({
      flags: expect.arrayContaining([expect.objectContaining({ name: "admin", organizations: { [org]: true } })]),
      live: { same: false, flags: [{ name: "(by organization)" }] },
    });
  });
});

describe("properties of an organization", () => {
  it("are fetched once for all its members", async () => {
    const { refreshUser } = flows();
    const ids = stack.emulator.kinde
      .importUsers(Array.from({ length: 40 }, () => ({ organizations: [org] })))
      .map(({ id }) => id);
    await Promise.all(ids.slice(0, 20).map((id) => refreshUser(id, call)));
    // Another process, with nothing in memory.
    const later = flows();
    await Promise.all(ids.slice(20).map((id) => later.refreshUser(id, call)));
    expect(propertyCalls()).toBe(1);
  });

  it("that were changed by hand reach all members with a sweep, and no one else is refreshed", async () => {
    const { emulator } = stack;
    const members = emulator.kinde.importUsers([{ organizations: [org] }, { organizations: [org, other] }]);
    const [outsider] = emulator.kinde.importUsers([{ organizations: [other] }]);
    await sweep();
    await until(async () => {
      for (const { id } of members) expect(await organizationsOf(id)).toEqual({ "*": defaults });
      expect(await organizationsOf(outsider?.id ?? "")).toEqual({ "*": defaults });
    });
    emulator.kinde.setOrganizationProperties(org, { seats: "7" });
    const before = (await stack.record(outsider?.id ?? ""))?.ticket;
    await age();
    await sweep();
    await until(async () => {
      for (const { id } of members) expect(await organizationsOf(id)).toEqual({ "*": defaults, [org]: { seats: 7 } });
    });
    expect((await stack.record(outsider?.id ?? ""))?.ticket).toBe(before);
    // Nothing has changed since: one call for each of the two organizations, and that of the seeded user.
    const calls = propertyCalls();
    await age();
    await sweep();
    expect(propertyCalls() - calls).toBe(3);
  });

  it("that were changed by hand reach the other members when one is refreshed", async () => {
    const { emulator } = stack;
    const [one, two] = emulator.kinde.importUsers([{ organizations: [org] }, { organizations: [org] }]);
    const { refreshUser } = flows();
    for (const user of [one, two]) await refreshUser(user?.id ?? "", call);
    emulator.kinde.setOrganizationProperties(org, { seats: "7" });
    await refreshUser(one?.id ?? "", call);
    expect(await organizationsOf(one?.id ?? "")).toEqual({ "*": defaults });
    await age();
    await refreshUser(one?.id ?? "", call);
    await until(async () =>
      expect(await organizationsOf(two?.id ?? "")).toEqual({ "*": defaults, [org]: { seats: 7 } }),
    );
  });

  it("are as recent as the record where a flag limits their age", async () => {
    const strict = defineFlags({
      seats: fresh(organizationProperty.number("seats", { default: 1 }), { maxAge: 60_000, whenOlder: "refresh" }),
    });
    const { refreshUser } = flows(strict);
    const { id } = stack.emulator.kinde.createUser({ organizations: [org] });
    await refreshUser(id, call);
    stack.emulator.kinde.setOrganizationProperties(org, { seats: "7" });
    await refreshUser(id, call);
    expect(await organizationsOf(id)).toEqual({ "*": { seats: 1 }, [org]: { seats: 7 } });
  });

  it("that a function reads are fetched too", async () => {
    const functions = defineFlags({
      seats: ({ organizations }) =>
        organizations.reduce((sum, { properties }) => sum + Number(properties?.seats ?? 0), 0),
    });
    stack.emulator.kinde.setOrganizationProperties(org, { seats: "7" });
    stack.emulator.kinde.setOrganizationProperties(other, { seats: "3" });
    const { id } = stack.emulator.kinde.createUser({ organizations: [org, other] });
    await flows(functions).refreshUser(id, call);
    expect((await stack.record(id))?.flags).toEqual({ seats: 10 });
  });

  it("are not fetched if no flag reads them, even by a function that copies memberships", async () => {
    const plain = defineFlags({
      codes: ({ organizations }) => organizations.map((membership) => ({ ...membership }).code),
    });
    const { id } = stack.emulator.kinde.createUser({ organizations: [org] });
    await flows(plain).refreshUser(id, call);
    expect(propertyCalls()).toBe(0);
    expect(await stack.record(id)).not.toHaveProperty("organizations");
  });

  it("name the missing scope", async () => {
    const { emulator } = stack;
    emulator.scopes.set(emulator.scopes.list().filter((scope) => scope !== "read:organization_properties"));
    const { id } = emulator.kinde.createUser({ organizations: [org] });
    await expect(flows().refreshUser(id, call)).rejects.toThrow(/grant .* scope read:organization_properties/);
  });

  it("count as drift in an audit", async () => {
    const { id } = stack.emulator.kinde.createUser({ organizations: [org] });
    const { refreshUser, auditUser } = flows();
    await refreshUser(id, call);
    expect(await auditUser(id, call)).toMatchObject({ verdict: "same" });
    stack.emulator.kinde.setOrganizationProperties(org, { seats: "7" });
    expect(await auditUser(id, call)).toMatchObject({ verdict: "drift", fields: ["flags.(by organization)"] });
  });
});
