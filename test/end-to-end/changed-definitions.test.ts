import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { loadConfig } from "../../src/config.ts";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { runSweep } from "../support/run-sweep.ts";
import { type Stack, startStack } from "../support/stack.ts";

let folder: string;
let stack: Stack;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "kindling-changed-"));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => stack.close());

/** Writes a flags file whose function refers to a constant, so that changing it leaves the fingerprint as it was. */
async function flagsFile(threshold: number, more = ""): Promise<string> {
  const file = join(folder, `flags-${threshold}-${more.length}.ts`);
  await writeFile(
    file,
    `import { defineFlags, permission } from "kindling";
     const threshold = ${threshold};
     export default defineFlags({
       big: ({ properties }) => Number(properties.seats ?? 0) >= threshold,
       admin: permission("admin:access"),${more}
     });`,
  );
  return file;
}

async function start(env: Record<string, string>) {
  stack = await startStack({ env: { KINDLING_INDEX_LAG: "0s", ...env } });
  const { kinde } = stack.emulator;
  const { code } = kinde.createOrganization();
  kinde.createProperty("seats");
  kinde.createRole("chief", ["admin:access"]);
  const users = kinde.importUsers(
    Array.from({ length: 30 }, (_, index) => ({
      properties: { seats: String(index) },
      organizations: [{ code, roles: ["chief"] }],
    })),
  );
  await runSweep(stack);
  await runSweep(stack);
  return users.map(({ id }) => id);
}

/** Replaces the workers' sweep by one with other settings, as a deployment does. */
async function sweepWith(env: Record<string, string>) {
  const { config, world, store } = stack;
  const { flagsFile: file, profile } = loadConfig({
    KINDE_DOMAIN: "https://acme.kinde.com",
    KINDE_MANAGEMENT_CLIENT_ID: "x",
    KINDE_MANAGEMENT_CLIENT_SECRET: "x",
    KINDLING_FLAGS: config.flagsFile,
    ...env,
  });
  const next = { ...config, flagsFile: file, profile };
  const flows = createFlows({ config: next, world, store, definitions: await loadDefinitions(file) });
  stack.emulator.stats.reset();
  return runSweep(stack, flows);
}

const fetches = () => stack.emulator.stats.calls["GET /api/v1/user"] ?? 0;
const records = async (ids: readonly string[]) => Promise.all(ids.map((id) => stack.record(id)));
const big = async (ids: readonly string[]) =>
  (await stack.store.records.readMany(ids)).map(({ flags }) => flags?.flags.big);

it("a changed constant reaches every record with the next sweep, without a fetch", async () => {
  const ids = await start({ KINDLING_FLAGS: await flagsFile(10) });
  const before = await records(ids);
  expect((await big(ids)).filter(Boolean)).toHaveLength(20);
  const KINDLING_FLAGS = await flagsFile(25);
  expect(await sweepWith({ KINDLING_FLAGS })).toMatchObject({ users: 30, derived: 15, different: 0 });
  expect((await big(ids)).filter(Boolean)).toHaveLength(5);
  expect(fetches()).toBe(0);
  // A record is as old as its profile, and a refresh that began meanwhile still wins.
  const stamps = (found: typeof before) => found.map((record) => [record?.fetchedAt, record?.ticket, record?.schema]);
  expect(stamps(await records(ids))).toEqual(stamps(before));
  expect(await sweepWith({ KINDLING_FLAGS })).toMatchObject({ derived: 0, different: 0 });
});

it("a new flag is derived from the stored profiles, and fetched only if they do not hold what it reads", async () => {
  const ids = await start({
    KINDLING_FLAGS: await flagsFile(10),
    KINDLING_PROFILE: "properties,organizations,permissions",
  });
  const held = await flagsFile(10, "\n       seats: ({ properties }) => properties.seats ?? null,");
  expect(
    await sweepWith({ KINDLING_FLAGS: held, KINDLING_PROFILE: "properties,organizations,permissions" }),
  ).toMatchObject({
    derived: 30,
    different: 0,
  });
  expect((await stack.record(ids[3] ?? ""))?.flags).toMatchObject({ seats: "3" });
  expect(fetches()).toBe(0);
  const unheld = await flagsFile(
    10,
    "\n       chief: ({ organizations }) => organizations.some(({ roles }) => roles.length > 0),",
  );
  expect(
    await sweepWith({ KINDLING_FLAGS: unheld, KINDLING_PROFILE: "properties,organizations,permissions" }),
  ).toMatchObject({
    derived: 0,
    different: 30,
    fields: { "flag definitions": 30 },
  });
});

it("a part added to KINDLING_PROFILE is fetched for the records that lack it", async () => {
  const KINDLING_FLAGS = await flagsFile(10);
  const ids = await start({ KINDLING_FLAGS, KINDLING_PROFILE: "properties,organizations,permissions" });
  expect((await stack.store.records.read(ids[0] ?? "")).profile?.organizations[0]?.roles).toEqual([]);
  const added = { KINDLING_FLAGS, KINDLING_PROFILE: "properties,organizations,permissions,roles" };
  expect(await sweepWith(added)).toMatchObject({ different: 30, fields: { "profile parts": 30 } });
});

it("a function that reads the clock costs a write per sweep, never a fetch", async () => {
  const ids = await start({ KINDLING_FLAGS: await flagsFile(10, "\n       now: () => Date.now(),") });
  const KINDLING_FLAGS = await flagsFile(10, "\n       now: () => Date.now(),");
  expect(await sweepWith({ KINDLING_FLAGS })).toMatchObject({ derived: ids.length, different: 0 });
  expect(fetches()).toBe(0);
});
