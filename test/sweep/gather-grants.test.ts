import { defineFlags, role } from "kindling";
import { blankProfile } from "kindling/contract";
import { expect, it } from "vitest";
import { KindeError } from "../../src/errors.ts";
import { keepParts } from "../../src/kinde/keep-parts.ts";
import type { Call, ManagementApi } from "../../src/kinde/management-api.ts";
import { createGrantChanges } from "../../src/redis/grant-changes.ts";
import type { Records } from "../../src/redis/records.ts";
import { type CompareGrantsOptions, compareGrantsStep } from "../../src/sweep/compare-grants.ts";
import { beginGathering, type GatherState, GrantsLost, gatherStep } from "../../src/sweep/gather-grants.ts";
import { createGrantIndex, markIndex } from "../../src/sweep/grant-index.ts";
import { useRedis } from "../support/redis.ts";
import { testUser } from "../support/signer.ts";

const context = useRedis();
const call = { priority: "bulk", signal: new AbortController().signal } as const;
const index = () => createGrantIndex(context);

/** Answers each route with what a function of its query gives. */
function answering(routes: Record<string, (query: URLSearchParams) => object>): ManagementApi {
  return {
    async get<T>({ path, route, answer }: Call<T>) {
      const found = routes[route];
      if (found === undefined) throw new KindeError("kinde_not_found", `Unexpected ${route}.`);
      const result = answer.safeParse(found(new URLSearchParams(path.split("?")[1])));
      if (!result.success) throw new KindeError("kinde_unavailable", `The answer to ${route} is malformed.`);
      return result.data;
    },
    send: () => Promise.reject(new Error("Gathering must not write to Kinde.")),
  };
}

const one = {
  "GET /api/v1/roles": () => ({ roles: [{ id: "r1", key: "admin" }] }),
  "GET /api/v1/roles/{id}/permissions": () => ({ permissions: [{ id: "p1", key: "admin:access" }] }),
};

async function gather(api: ManagementApi, parts: GatherState["parts"] = ["roles"], number = 1): Promise<GatherState> {
  let state = beginGathering(number, 1_000, parts);
  // What a job stores, because any worker can take over after any page.
  while (state.phase !== "gathered")
    state = JSON.parse(JSON.stringify(await gatherStep({ api, index: index() }, "test", state, call)));
  return state;
}

it("gathers who holds what over pages, roles and organizations", async () => {
  const codes = ["org_1", "org_2"];
  const api = answering({
    ...one,
    "GET /api/v1/roles/{id}/users": (query) =>
      query.has("next_token")
        ? {
            users: [{ id: testUser(2), org_codes: ["org_1"] }, { id: testUser(3), org_codes: "org_1" }, { id: "../x" }],
          }
        : { users: [{ id: testUser(1), org_codes: codes }], next_token: "second" },
    "GET /api/v1/permissions": () => ({ permissions: [{ id: "p2", key: "reports:read" }] }),
    "GET /api/v1/organizations": () => ({ organizations: codes.map((code) => ({ code })) }),
    "GET /api/v1/organizations/{code}/users": () => ({ organization_users: [{ id: testUser(2) }] }),
  });
  const { mark } = await gather(api, ["roles", "permissions"]);
  const read = await index().read(mark, [1, 2, 3, 4].map(testUser));
  expect(read?.held).toEqual([
    [
      { code: "org_1", roles: [0], permissions: [] },
      { code: "org_2", roles: [0], permissions: [] },
    ],
    [
      { code: "org_1", roles: [0], permissions: [0] },
      { code: "org_2", roles: [], permissions: [0] },
    ],
    "unknown",
    [],
  ]);
  expect(read?.catalogue.roles).toEqual([{ id: "r1", key: "admin", permissions: [{ id: "p1", key: "admin:access" }] }]);
});

it("fails instead of going on forever if a listing leads in circles", async () => {
  const api = answering({
    ...one,
    "GET /api/v1/roles/{id}/users": (query) => ({ users: [], next_token: query.get("next_token") === "a" ? "b" : "a" }),
  });
  await expect(gather(api)).rejects.toThrow("leads back to a page that was read before");
});

it.each([
  ["too many entries", { users: Array.from({ length: 501 }, (_, number) => ({ id: testUser(number) })) }],
  ["entries that name nobody", { users: Array.from({ length: 11 }, () => ({ id: "../../admin" })) }],
])("rejects a page with %s", async (_what, page) => {
  await expect(gather(answering({ ...one, "GET /api/v1/roles/{id}/users": () => page }))).rejects.toThrow("malformed");
});

it("takes no holders from a 404, unless Kinde no longer lists the role or the organization", async () => {
  const listed = {
    ...one,
    "GET /api/v1/permissions": () => ({ permissions: [{ id: "p2", key: "reports:read" }] }),
    "GET /api/v1/organizations": () => ({ organizations: [{ code: "org_1" }] }),
  };
  await expect(gather(answering(listed))).rejects.toMatchObject({ code: "kinde_unavailable" });
  const held = { ...listed, "GET /api/v1/roles/{id}/users": () => ({ users: [] }) };
  await expect(gather(answering(held), ["roles", "permissions"])).rejects.toMatchObject({ code: "kinde_unavailable" });
  const roles = [[{ id: "r1", key: "admin" }], []];
  const organizations = [[{ code: "org_1" }], []];
  const deleted = {
    ...listed,
    "GET /api/v1/roles": () => ({ roles: roles.shift() }),
    "GET /api/v1/organizations": () => ({ organizations: organizations.shift() }),
  };
  expect(await gather(answering(deleted), ["roles", "permissions"])).toMatchObject({ phase: "gathered" });
});

it("counts as lost if Redis lost a part of it, or another Redis process has taken over", async () => {
  const api = answering({ ...one, "GET /api/v1/roles/{id}/users": () => ({ users: [] }) });
  const { mark } = await gather(api, ["roles"], 7);
  expect(await index().read(mark, [testUser(1)])).toBeDefined();
  const key = context.keys.ledgerPart("sweep:grants:7");
  const description = JSON.parse((await context.redis.get(key)) ?? "");
  await context.redis.set(key, JSON.stringify({ ...description, runId: "before" }));
  expect(await index().read(mark, [testUser(1)])).toBeUndefined();
  const listing: GatherState = { ...beginGathering(7, 1_000, ["roles"]), phase: "holders" };
  await expect(gatherStep({ api, index: index() }, "test", listing, call)).rejects.toThrow(GrantsLost);
});

it("lives longer than the longest walks, and ends as a whole", async () => {
  const mark = markIndex(20, 100_000);
  const held = (number: number) => ({ userId: testUser(number), code: "org_1", part: "roles", grant: 0 }) as const;
  await index().begin("long", mark, { roles: [], permissions: [] });
  await index().add(mark, [held(1)]);
  const stored = () => context.redis.keys(`*${context.keys.prefix}*sweep:grants:20*`);
  const before = await stored();
  for (const key of before) await context.redis.pexpire(key, (await context.redis.pttl(key)) - 20 * 86_400_000);
  await index().add(mark, [held(2)]);
  await index().add(mark, []);
  const lifetime = await context.redis.pttl(context.keys.ledgerPart("sweep:grants:20"));
  expect(lifetime).toBeGreaterThan(0);
  const buckets = (await stored()).filter((key) => key.includes("grants:20:"));
  expect(buckets).toHaveLength(2);
  for (const key of buckets) expect(await context.redis.pttl(key)).toBeGreaterThan(lifetime);
});

it("holds nothing of what was gathered under the same number before", async () => {
  const mark = markIndex(21, 1_000);
  await index().begin("again", mark, { roles: [], permissions: [] });
  await index().add(mark, [{ userId: testUser(1), code: "org_1", part: "roles", grant: 0 }]);
  await index().begin("again", mark, { roles: [], permissions: [] });
  expect((await index().read(mark, [testUser(1)]))?.held).toEqual([[]]);
});

it("reports changes after a mark, or so shortly before it that Kinde can have lagged, and notices lost ones", async () => {
  const settleMs = 30_000;
  const changes = createGrantChanges({ ...context, settleMs });
  const now = Date.now();
  const key = context.keys.ledgerPart("changed:grants");
  // Redis' clock was ahead, and steps back.
  await context.redis.xadd(key, now + 3 * settleMs, "mark", "");
  const mark = await changes.mark();
  await changes.note("permission:later");
  await changes.note("permission:later");
  expect(await changes.since({ ...mark, id: `${now}-0` })).toBeUndefined();
  expect(await changes.since(mark)).toEqual(new Set(["permission:later"]));
  expect(await changes.since({ ...mark, runId: "another process" })).toBeUndefined();
  await context.redis.xtrim(key, "MAXLEN", 1);
  expect(await changes.since(mark)).toBeUndefined();
  await context.redis.del(key);
  await context.redis.xadd(key, now - 3 * settleMs, "subject", "role:settled");
  await context.redis.xadd(key, now - settleMs / 2, "subject", "role:recent");
  expect(await changes.since(await changes.mark())).toEqual(new Set(["role:recent"]));
});

/** Records of users who own org_1 although the index lists no holder, and what a walk finds. */
async function comparing(number: number, records: Pick<CompareGrantsOptions["records"], "scanIds">, fetchedAt = 0) {
  const owner = { id: "r1", key: "owner" };
  const { mark } = beginGathering(number, 1_000, ["roles"]);
  await index().begin("compare", mark, { roles: [{ ...owner, permissions: [] }], permissions: [] });
  const profileOf = (id: string) =>
    keepParts(
      { ...blankProfile(id), organizations: [{ code: "org_1", roles: [owner], permissions: [] }] },
      new Set(["organizations", "roles"]),
    );
  const flags = { flags: { owner: true }, status: "present", fetchedAt, ticket: 1, schema: "" } as const;
  const options: CompareGrantsOptions = {
    index: index(),
    records: { ...records, readMany: async (ids) => ids.map((id) => ({ flags, profile: profileOf(id) })) },
    disputes: {
      settle: async (users) => ({
        refresh: users.flatMap(({ userId, different }) => (different ? userId : [])),
        disputed: [],
      }),
    },
    definitions: defineFlags({ owner: role("owner") }),
    settleMs: 0,
    clock: async () => 1_000,
  };
  const gathered: GatherState = { ...beginGathering(number, 1_000, ["roles"]), phase: "gathered" };
  return (place: { cursor: string; runId?: string }) =>
    compareGrantsStep(options, { gathered, startedAt: 500, ...place });
}

it("is compared from the beginning again if another Redis process has taken over the records", async () => {
  const scanIds: Records["scanIds"] = async ({ cursor, runId }) => {
    const beganAgain = cursor !== "0" && runId !== "second";
    const isFirst = beganAgain || cursor === "0";
    return { userIds: [testUser(isFirst ? 1 : 2)], cursor: isFirst ? "1" : "0", runId: "second", beganAgain };
  };
  const compare = await comparing(30, { scanIds });
  expect(await compare({ cursor: "1", runId: "first" })).toMatchObject({ refresh: [testUser(1)], cursor: "1" });
  expect(await compare({ cursor: "1", runId: "second" })).toMatchObject({ refresh: [testUser(2)], cursor: "0" });
});

it.each([
  ["nothing of a record that was fetched after the listings began", 750, []],
  ["a record that is ahead of the clock, which stepped back", 2_000, [testUser(1)]],
])("compares %s", async (_what, fetchedAt, refresh) => {
  const scanIds = async () => ({ userIds: [testUser(1)], cursor: "0", runId: "first", beganAgain: false });
  const compare = await comparing(31, { scanIds }, fetchedAt);
  expect(await compare({ cursor: "0" })).toMatchObject({ refresh, compared: refresh.length });
});
