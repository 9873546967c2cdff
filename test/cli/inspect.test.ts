import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { envOf, kindling, pressCtrlC } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;

beforeEach(async () => {
  stack = await startStack({ workers: false, env: { KINDLING_ABSENCE_CHECKS: "1" } });
  env = envOf(stack.config);
});

afterEach(() => stack.close());

const email = "robin@example.com";

async function storedUser(properties: Record<string, string> = {}): Promise<string> {
  const { id } = stack.emulator.kinde.createUser({ email, firstName: "Robin", properties });
  await refresh(id);
  return id;
}

async function refresh(id: string) {
  const { config, world, store } = stack;
  const { refreshUser } = createFlows({ config, world, store, definitions: await loadDefinitions(config.flagsFile) });
  await refreshUser(id, { priority: "webhook", signal: new AbortController().signal });
}

describe("kindling inspect", () => {
  it("shows each flag with its source and misfit", async () => {
    const id = await storedUser({ onboarded: "true", plan_tier: "gold", compliance_region: "eu" });
    const { code, json, stderr } = await kindling(["inspect", id, "--json"], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(json).toMatchObject({
      userId: id,
      record: { status: "present", schemaMatches: true },
      ledger: null,
      jobs: [],
      flags: [
        { name: "onboarded", value: true, source: expect.stringContaining('property "onboarded"'), misfit: null },
        { name: "tier", value: "free", misfit: '"gold" is not one of free, pro, enterprise' },
        { name: "region", value: "eu", misfit: null },
        { name: "admin", value: false, source: 'permission "admin:access" in any organization' },
        { name: "suspended", value: false, source: expect.stringContaining("isSuspended") },
      ],
    });
    const { stdout } = await kindling(["inspect", id], env);
    expect(stdout).toMatch(/tier +"free" +property "plan_tier".*\("gold" is not one of free, pro, enterprise/);
    expect(stdout).toMatch(/record +present/);
  });

  it("shows personal data only with --profile", async () => {
    const id = await storedUser();
    for (const args of [[], ["--json"], ["--live"], ["--live", "--json"]]) {
      const { stdout } = await kindling(["inspect", id, ...args], env);
      expect(stdout).not.toMatch(/robin/i);
    }
    expect((await kindling(["inspect", id, "--profile"], env)).stdout).toContain(email);
    expect((await kindling(["inspect", id, "--profile", "--json"], env)).json).toMatchObject({ profile: { email } });
  });

  it("reports a missing record and exits with 1", async () => {
    const { code, stdout } = await kindling(["inspect", "kp_unknown"], env);
    expect(code).toBe(1);
    expect(stdout).toContain("none: readers get the defaults");
    expect((await kindling(["inspect", "kp_unknown", "--json"], env)).json).toMatchObject({ record: null });
  });

  it("shows the tombstone of a deleted user", async () => {
    const id = await storedUser();
    stack.emulator.kinde.deleteUser(id);
    await refresh(id);
    const { code, json } = await kindling(["inspect", id, "--live", "--json"], env);
    expect(code).toBe(0);
    expect(json).toMatchObject({ record: { status: "deleted" }, live: { exists: false, same: true } });
  });

  it("shows an outstanding event, its failure and the queued jobs", async () => {
    const id = await storedUser();
    await stack.store.ledger.fail(id, {
      code: "kinde_forbidden",
      message: "No scope.",
      failedAt: Date.now(),
      attempts: 3,
      final: true,
    });
    await stack.store.queues.enqueueRefreshes([{ userId: id, delayMs: 60_000 }]);
    await stack.store.queues.enqueueReprocess([id]);
    const { code, json } = await kindling(["inspect", id, "--json"], env);
    expect(code).toBe(1);
    expect(json).toMatchObject({
      ledger: { failure: { code: "kinde_forbidden", attempts: 3, final: true } },
      jobs: [
        { queue: "refresh", state: "delayed", attempts: 0 },
        { queue: "bulk", state: "waiting", attempts: 0 },
      ],
    });
    const { stdout } = await kindling(["inspect", id], env);
    expect(stdout).toMatch(/failure +kinde_forbidden after 3 attempts, .* ago: No scope\./);
    expect(stdout).toMatch(/jobs +refresh delayed; bulk waiting/);
  });

  it("reports a record derived from other definitions", async () => {
    const id = await storedUser();
    const folder = await mkdtemp(join(tmpdir(), "kindling-inspect-"));
    try {
      const file = join(folder, "flags.ts");
      await writeFile(
        file,
        `import { defineFlags, property } from "kindling";
         export default defineFlags({ vip: property.boolean("vip", { default: false }) });`,
      );
      const { json } = await kindling(["inspect", id, "--json"], { ...env, KINDLING_FLAGS: file });
      const { record, flags } = json as { record: object; flags: { name: string; source: string | null }[] };
      expect(record).toMatchObject({ schemaMatches: false });
      expect(flags[0]).toEqual({ name: "vip", source: expect.any(String), misfit: null });
      expect(flags).toContainEqual({ name: "onboarded", value: false, source: null, misfit: null });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("kindling inspect --live", () => {
  it("reports no difference and exits with 0", async () => {
    const id = await storedUser({ plan_tier: "pro" });
    const { code, json } = await kindling(["inspect", id, "--live", "--json"], env);
    expect(code).toBe(0);
    expect(json).toMatchObject({ live: { exists: true, same: true, flags: [], profile: [] } });
  });

  it("shows a property changed without a webhook, writes nothing and exits with 1", async () => {
    const id = await storedUser({ plan_tier: "pro" });
    stack.emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    const before = await stack.record(id);
    const { code, json } = await kindling(["inspect", id, "--live", "--json"], env);
    expect(code).toBe(1);
    expect((json as { live: unknown }).live).toEqual({
      exists: true,
      same: false,
      flags: [{ name: "tier", stored: "pro", live: "enterprise" }],
      profile: [{ name: "properties.plan_tier" }],
    });
    expect(await stack.record(id)).toEqual(before);
    const { stdout } = await kindling(["inspect", id, "--live", "--profile"], env);
    expect(stdout).toMatch(/flag +tier +"pro" stored, "enterprise" in Kinde/);
    expect(stdout).toMatch(/profile +properties\.plan_tier +"pro" stored, "enterprise" in Kinde/);
  });

  it("reports users that only Kinde or only Kindling has", async () => {
    const { id } = stack.emulator.kinde.createUser();
    expect((await kindling(["inspect", id, "--live", "--json"], env)).json).toMatchObject({
      live: { exists: true, same: false },
    });
    await refresh(id);
    stack.emulator.kinde.deleteUser(id, { silent: true });
    const { code, stdout } = await kindling(["inspect", id, "--live"], env);
    expect(code).toBe(1);
    expect(stdout).toContain("no such user");
  });

  it("waits while Kinde's call limit is reached", async () => {
    const id = await storedUser();
    stack.emulator.faults.set({ kind: "too_many_requests", resetSeconds: 1, count: 1 });
    const { code, stderr } = await kindling(["inspect", id, "--live"], env);
    expect(code).toBe(0);
    expect(stderr).toContain("Kinde's call limit is reached: waiting 1 s");
  });

  it("can be stopped while it waits", async () => {
    const id = await storedUser();
    await stack.store.budget.pause(3_600_000);
    const interrupt = new AbortController();
    const { code, stdout } = await kindling(["inspect", id, "--live"], env, {
      interrupt,
      onOutput: (text) => {
        if (text.includes("waiting")) pressCtrlC(interrupt);
      },
    });
    expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
  });

  it.each([
    [503, 3, /GET \/api\/v1\/user at \S+ failed with status 503/],
    [403, 2, /the scope read:users/],
  ])("reports status %i from Kinde on one line", async (status, exitCode, words) => {
    const id = await storedUser();
    stack.emulator.faults.set({ kind: "error", status, path: "/api/v1/user" });
    const { code, stdout, stderr } = await kindling(["inspect", id, "--live"], env);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: "" });
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toMatch(words);
  });

  it("exits with 3 if Kinde is unreachable and with 2 if it rejects the credentials", async () => {
    const id = await storedUser();
    const other = { ...env, KINDLING_TOKEN_STORE: "memory" };
    const recover = stack.emulator.faults.set({ kind: "reset" });
    expect((await kindling(["inspect", id, "--live"], other)).code).toBe(3);
    recover();
    const refused = await kindling(["inspect", id, "--live"], {
      ...other,
      KINDE_MANAGEMENT_CLIENT_SECRET: "wrong-one",
    });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("check KINDE_DOMAIN");
    expect(refused.stderr).not.toContain("wrong-one");
  });
});
