import { afterEach, describe, expect, it } from "vitest";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { envOf, kindling, pressCtrlC } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;

/** A stack whose records equal Kinde; with no worker left, so that nobody mends what a test breaks. */
async function begin(users: number, options: StackOptions = {}) {
  stack = await startStack({ workers: false, ...options, emulator: { users, ...options.emulator } });
  env = envOf(stack.config);
  const workers = await stack.startWorkers();
  const ids = [...stack.emulator.kinde.userIds()];
  await stack.store.queues.enqueueReprocess(ids);
  await until(async () => {
    expect((await stack.store.records.tickets(ids)).every((ticket) => ticket > 0)).toBe(true);
    expect(await stack.store.queues.bulk.getJobCountByTypes("waiting", "active", "delayed")).toBe(0);
  }, 30_000);
  await workers.close();
  return ids;
}

afterEach(() => stack.close());

const waiting = async () => (await stack.store.queues.bulk.getJobs(["waiting"])).map(({ data }) => data.userId).sort();

describe("kindling verify", () => {
  it("exits with 0 where a sample equals Kinde, and says how large it was and what that proves", async () => {
    await begin(30);
    const { code, json, stderr } = await kindling(["verify", "--sample", "10", "--json"], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(json).toMatchObject({ scope: "sample", checked: 10, drifted: 0, rate: 0, complete: true, repaired: 0 });
    expect((json as { atMost: number }).atMost).toBeCloseTo(0.213, 2);
    const { stdout } = await kindling(["verify", "--sample", "10"], env);
    expect(stdout).toBe("Looked at 10 users: none differs from Kinde (of all at most 21.3 %, with 95 % confidence).\n");
  });

  it("finds, with --all, changed users, missing ones and gone ones, tells each cause and exits with 1", async () => {
    const [changed = "", suspended = "", gone = "", ...rest] = await begin(6);
    const { kinde } = stack.emulator;
    kinde.setProperties(changed, { plan_tier: "enterprise" });
    kinde.suspendUser(suspended);
    kinde.deleteUser(gone, { silent: true });
    const [imported] = kinde.importUsers([{}]);
    const { code, json } = await kindling(["verify", "--all", "--json"], env);
    expect(code).toBe(1);
    expect(json).toMatchObject({
      scope: "all",
      checked: 4 + rest.length,
      drifted: 4,
      causes: { property_change: 1, missed_event: 1, deletion: 1, missing: 1 },
      repaired: 0,
    });
    const { examples } = json as { examples: { userId: string }[] };
    expect(examples.map(({ userId }) => userId).sort()).toEqual([changed, suspended, gone, imported?.id].sort());
    expect(await waiting()).toEqual([]);
    const { stdout } = await kindling(["verify", "--all"], env);
    expect(stdout).toMatch(/4 records differ from Kinde, 57\.1 %/);
    expect(stdout).toMatch(new RegExp(`${suspended} +missed_event +.*isSuspended`));
  }, 40_000);

  it("has whom it finds refreshed with --repair, and finds nothing any more after that", async () => {
    const [changed = "", gone = ""] = await begin(4);
    stack.emulator.kinde.setProperties(changed, { plan_tier: "enterprise" });
    stack.emulator.kinde.deleteUser(gone, { silent: true });
    const { code, json } = await kindling(["verify", "--all", "--repair", "--json"], env);
    expect(code).toBe(1);
    expect(json).toMatchObject({ drifted: 2, repaired: 2 });
    expect(await waiting()).toEqual([changed, gone].sort());
    await stack.startWorkers();
    await until(async () => expect(await stack.record(gone)).toMatchObject({ status: "deleted" }));
    await until(async () => expect(await stack.record(changed)).toMatchObject({ flags: { tier: "enterprise" } }));
    expect(await kindling(["verify", "--all", "--json"], env)).toMatchObject({ code: 0, json: { drifted: 0 } });
  }, 40_000);

  it("goes on where Kinde gives no answer about one user, counts them, and exits with 1", async () => {
    const [odd = ""] = await begin(5);
    stack.emulator.faults.set({ kind: "error", status: 500, path: "/api/v1/users/*/properties", user: odd });
    const { code, json } = await kindling(["verify", "--all", "--json"], env);
    expect({ code, json }).toMatchObject({ code: 1, json: { checked: 4, drifted: 0, failed: 1, complete: true } });
    const { stdout } = await kindling(["verify", "--all"], env);
    expect(stdout).toMatch(/^Looked at 4 users: none differs from Kinde\.\nKinde gave no answer about 1 user: /);
    stack.emulator.faults.set({ kind: "error", status: 500 });
    const down = await kindling(["verify", "--sample", "3"], env);
    expect(down).toMatchObject({ code: 3, stdout: "" });
  }, 60_000);

  it("is not deceived by a store that holds nobody", async () => {
    stack = await startStack({ workers: false, emulator: { users: 3 } });
    env = envOf(stack.config);
    expect(await kindling(["verify", "--sample", "2", "--json"], env)).toMatchObject({
      code: 1,
      json: { checked: 2, causes: { missing: 2 } },
    });
  });

  it("waits where Kinde has asked for a pause, and says so", async () => {
    await begin(4);
    await stack.store.budget.pause(4_000);
    const { code, stderr } = await kindling(["verify", "--sample", "4"], env, { isTTY: true });
    expect(code).toBe(0);
    expect(stderr).toContain("for Kinde");
  });

  it("shows its progress on a terminal, and ends with what it has when stopped", async () => {
    await begin(40);
    stack.emulator.faults.set({ kind: "latency", ms: 150 });
    const interrupt = new AbortController();
    const onOutput = (text: string) => {
      if (/[1-9]\d* of/.test(text)) pressCtrlC(interrupt);
    };
    const { code, stdout, stderr } = await kindling(["verify", "--sample", "40", "--json"], env, {
      isTTY: true,
      interrupt,
      onOutput,
    });
    expect(code).toBe(130);
    expect(stderr).toMatch(/\d+% · \d+ of about 40 users/);
    const answer = JSON.parse(stdout) as { checked: number };
    expect(answer).toMatchObject({ complete: false, failed: 0 });
    expect(answer.checked).toBeLessThan(40);
  });

  it("refuses both scopes at once, and names a missing scope of the application", async () => {
    await begin(1);
    expect(await kindling(["verify", "--all", "--sample", "3"], env)).toMatchObject({
      code: 2,
      stderr: "error: verify takes --sample or --all, not both\n",
    });
    stack.emulator.faults.set({ kind: "error", status: 403 });
    const { code, stderr } = await kindling(["verify"], env);
    expect(code).toBe(2);
    expect(stderr).toMatch(/scope read:user/);
  });
});
