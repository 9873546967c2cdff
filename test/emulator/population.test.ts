import fc from "fast-check";
import type { Emulator } from "kinde-emulator";
import { describe, expect, it } from "vitest";
import { clientOf, useEmulator } from "./support.ts";

const start = useEmulator();
type Client = Awaited<ReturnType<typeof clientOf>>;

async function searchAll(call: Client, size: number, between: () => void = () => {}): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const after = ids.length > 0 ? `&starting_after=${ids.at(-1)}` : "";
    const { body } = await call("GET", `/search/users?query=*&page_size=${size}${after}`);
    if (body.results.length === 0) return ids;
    ids.push(...body.results.map(({ id }) => id));
    between();
  }
}

async function listAll(call: Client, path: string, key: "users" | "organization_users"): Promise<string[]> {
  const ids: string[] = [];
  let token: string | null = "";
  while (token !== null) {
    const { body } = await call("GET", `${path}?page_size=7${token ? `&next_token=${token}` : ""}`);
    ids.push(...body[key].map(({ id }) => id));
    token = body.next_token;
  }
  return ids;
}

const sorted = (emulator: Emulator) => [...emulator.kinde.userIds()].sort();

describe("population", () => {
  it("is reproducible for a seed and differs between seeds", async () => {
    const [a, b, c] = [await start({ users: 50 }), await start({ users: 50 }), await start({ users: 50, seed: 2 })];
    const all = (emulator: Emulator) => [...emulator.kinde.userIds()].map((id) => emulator.kinde.user(id));
    expect(all(a)).toEqual(all(b));
    expect(all(a)).not.toEqual(all(c));
  });

  it("varies organizations, plans, suspension, phones, billing and onboarding", async () => {
    const { kinde } = await start({ users: 2000 });
    const users = [...kinde.userIds()].map((id) => kinde.user(id));
    const share = (passes: (user: NonNullable<(typeof users)[number]>) => boolean) =>
      users.filter((user) => user && passes(user)).length / users.length;
    for (const count of [0, 1, 2])
      expect(share(({ organizations }) => organizations.length === count)).toBeGreaterThan(0.1);
    for (const tier of ["free", "pro", "enterprise"])
      expect(share(({ properties }) => properties.plan_tier === tier)).toBeGreaterThan(0.05);
    expect(share(({ isSuspended }) => isSuspended)).toBeGreaterThan(0.002);
    expect(share(({ phone }) => phone !== null)).toBeGreaterThan(0.1);
    expect(share(({ billing }) => billing !== null)).toBeGreaterThan(0.1);
    expect(share(({ properties }) => properties.onboarded === undefined)).toBeGreaterThan(0.02);
    expect(new Set(users.map((user) => user?.email)).size).toBe(users.length);
  });

  it("finds one of a million users by id, email and username", async () => {
    const emulator = await start({ users: 1_000_000 });
    const call = await clientOf(emulator);
    const { body } = await call("GET", "/search/users?page_size=1&ending_before=kp_8");
    const { id = "", email, username } = body.results[0] ?? {};
    expect(emulator.kinde.user(id)?.email).toBe(email);
    expect((await call("GET", `/users?email=${email}`)).body.users).toMatchObject([{ id }]);
    expect((await call("GET", `/users?user_id=${id}`)).body.users).toMatchObject([{ id }]);
    if (username) expect((await call("GET", `/users?username=${username}`)).body.users).toMatchObject([{ id }]);
    expect(emulator.kinde.user(`${id.slice(0, -1)}${id.endsWith("0") ? "1" : "0"}`)).toBeUndefined();
  });

  it("looks for a name of many digits without delay", async () => {
    const { kinde } = await start();
    const username = `${"1".repeat(60_000)}x`;
    const started = performance.now();
    expect(kinde.createUser({ username })).toMatchObject({ username });
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

describe("paging", () => {
  it("returns every user once, sorted by id, with created users and without deleted ones", async () => {
    const emulator = await start({ users: 95 });
    const call = await clientOf(emulator);
    const before = [...emulator.kinde.userIds()];
    emulator.kinde.importUsers(Array.from({ length: 20 }, () => ({})));
    for (const id of before.slice(10, 30)) emulator.kinde.deleteUser(id);
    const [, again] = [...emulator.kinde.userIds()].filter((id) => !before.includes(id));
    if (again) emulator.kinde.deleteUser(again);
    expect(emulator.kinde.userCount).toBe(94);
    expect(await searchAll(call, 10)).toEqual(sorted(emulator));
    expect(await listAll(call, "/users", "users")).toEqual(sorted(emulator));
  });

  it("skips no remaining user while others are created and deleted between pages", async () => {
    const emulator = await start({ users: 60 });
    const call = await clientOf(emulator);
    const all = sorted(emulator);
    const leaving = all.filter((_, index) => index % 10 === 9);
    const found = await searchAll(call, 10, () => {
      emulator.kinde.createUser();
      const gone = leaving.shift();
      if (gone) emulator.kinde.deleteUser(gone);
    });
    expect(found).toEqual([...found].sort());
    expect(all.filter((id) => emulator.kinde.user(id) && !found.includes(id))).toEqual([]);
  });

  it("pages forwards and backwards from ids of any format", async () => {
    const emulator = await start({ users: 12 });
    const call = await clientOf(emulator);
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[a-z0-9_]{1,6}$/), async (tail) => {
        const id = `kp_${tail}`;
        if (!emulator.kinde.user(id)) emulator.kinde.createUser({ id, email: null });
        const ids = sorted(emulator);
        const at = ids.indexOf(id);
        const page = async (query: string) =>
          (await call("GET", `/search/users?page_size=5&${query}`)).body.results.map((one) => one.id);
        expect(await page(`starting_after=${id}`)).toEqual(ids.slice(at + 1, at + 6));
        expect(await page(`ending_before=${id}`)).toEqual(ids.slice(Math.max(0, at - 5), at));
      }),
      { numRuns: 25 },
    );
  });

  it("lists the members of an organization and the holders of a role", async () => {
    const emulator = await start({ users: 300 });
    const { kinde } = emulator;
    const call = await clientOf(emulator);
    const [org, role] = [kinde.organizations()[1], kinde.roles().find(({ key }) => key === "admin")];
    const [first = "", second = ""] = kinde.userIds();
    kinde.addToOrganization(first, org?.code ?? "", { roles: ["admin"] });
    kinde.deleteUser(second);
    const holding = (passes: (membership: { code: string; roles: string[] }) => boolean) =>
      sorted(emulator).filter((id) => kinde.user(id)?.organizations.some(passes));
    expect(await listAll(call, `/organizations/${org?.code}/users`, "organization_users")).toEqual(
      holding(({ code }) => code === org?.code),
    );
    expect(await listAll(call, `/roles/${role?.id}/users`, "users")).toEqual(
      holding(({ roles }) => roles.includes("admin")),
    );
  });

  it("filters by property, search term, organization and last sign-in", async () => {
    const emulator = await start({ users: 200 });
    const call = await clientOf(emulator);
    const truth = sorted(emulator).flatMap((id) => emulator.kinde.user(id) ?? []);
    const search = async (query: string) =>
      (await call("GET", `/search/users?page_size=500&${query}`)).body.results.map((one) => one.id);
    const idsOf = (users: typeof truth) => users.map(({ id }) => id);
    expect(await search("properties[plan_tier]=pro&properties[compliance_region]=eu")).toEqual(
      idsOf(truth.filter(({ properties: p }) => p.plan_tier === "pro" && p.compliance_region === "eu")),
    );
    const [user] = truth;
    expect(await search(`query=${user?.email}`)).toContain(user?.id);
    const list = async (query: string) =>
      (await call("GET", `/users?page_size=500&${query}`)).body.users.map((one) => one.id);
    expect(await list("has_organization=false")).toEqual(idsOf(truth.filter((one) => one.organizations.length === 0)));
    const since = "2025-01-01T00:00:00Z";
    expect(await list(`active_since=${since}`)).toEqual(
      idsOf(truth.filter(({ lastSignedIn }) => lastSignedIn !== null && Date.parse(lastSignedIn) >= Date.parse(since))),
    );
  });
});
