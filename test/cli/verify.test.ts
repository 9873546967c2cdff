import { afterEach, describe, expect, it } from "vitest";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { envOf, kindling, pressCtrlC } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;

/** Starts a stack whose records equal Kinde. Its workers are closed, so that nothing repairs what a test breaks. */
async function begin(users: number, options: StackOptions = {}) {
  stack = await startStack({ workers: false, ...options, emulator: { users, ...options.emulator } });
  env = envOf(stack.config);
  const workers = await stack.startWorkers();
  const ids = [...stack.emulator.kinde.userIds()];
  await stack.store.queues.enqueueReprocess(ids);
  await until(async () => {
    expect((await stack.store.records.tickets(ids)).every((ticket) => ticket > 0)).toBe(true);
    expect(await stack.store.queues.bulk.getJobCountByTypes("waiting", "prioritized", "active", "delayed")).toBe(0);
  }, 30_000);
  await workers.close();
  return ids;
}

afterEach(() => stack.close());

const waiting = async () =>
  (await stack.store.queues.bulk.getJobs(["waiting", "prioritized"])).map(({ data }) => data.userId).sort();

describe("kindling verify", () => {
  it("says before --all how many calls it makes and how long that takes", async () => {
    await begin(30);
    const { stderr } = await kindling(["verify", "--all", "--json"], { ...env, KINDLING_CALLS_PER_MINUTE: "1200" });
    // 30 users at 2 calls and one for each of roles, permissions and billing, at 900 calls a minute.
    expect(stderr).toBe(
      "About 30 users and 150 calls to Kinde: about 9 s at the 1,000 calls a minute that the budget gains (Ctrl-C stops).\n",
    );
  });

  it("exits with 0 if a sample equals Kinde, and prints its size and confidence bound", async () => {
    await begin(30);
    const { code, json, stderr } = await kindling(["verify", "--sample", "10", "--json"], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(json).toMatchObject({ scope: "sample", checked: 10, drifted: 0, rate: 0, complete: true, repaired: 0 });
    expect((json as { atMost: number }).atMost).toBeCloseTo(0.213, 2);
    const { stdout } = await kindling(["verify", "--sample", "10"], env);
    expect(stdout).toBe(
      "Checked 10 users: none differ from Kinde (at most 21.3% of all users, with 95% confidence).\n",
    );
  });

  it("finds changed, missing and deleted users with --all, prints causes and exits with 1", async () => {
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
    expect(stdout).toMatch(/Checked 7 users: 4 \(57\.1%\) differ from Kinde/);
    expect(stdout).toMatch(new RegExp(`${suspended} +missed_event +.*isSuspended`));
  }, 40_000);

  it("refreshes users that differ with --repair, and then finds no difference", async () => {
    const [changed = "", gone = ""] = await begin(4, { env: { KINDLING_ABSENCE_CHECKS: "1" } });
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

  it("counts users that Kinde gives no answer about, continues and exits with 1", async () => {
    const [unavailable = ""] = await begin(5);
    stack.emulator.faults.set({ kind: "error", status: 500, path: "/api/v1/users/*/properties", user: unavailable });
    const { code, json } = await kindling(["verify", "--all", "--json"], env);
    expect({ code, json }).toMatchObject({ code: 1, json: { checked: 4, drifted: 0, failed: 1, complete: true } });
    const { stdout } = await kindling(["verify", "--all"], env);
    expect(stdout).toMatch(
      /^Checked 4 users: none differ from Kinde\.\nNot checked: Kinde gave no answer for 1 user\.\n$/,
    );
    stack.emulator.faults.set({ kind: "error", status: 500 });
    const down = await kindling(["verify", "--sample", "3"], env);
    expect(down).toMatchObject({ code: 3, stdout: "" });
  }, 60_000);

  it("reports missing users if the store is empty", async () => {
    stack = await startStack({ workers: false, emulator: { users: 3 } });
    env = envOf(stack.config);
    expect(await kindling(["verify", "--sample", "2", "--json"], env)).toMatchObject({
      code: 1,
      json: { checked: 2, causes: { missing: 2 } },
    });
  });

  it("waits while calls to Kinde are paused and says so", async () => {
    await begin(4);
    await stack.store.budget.pause(4_000);
    const { code, stderr } = await kindling(["verify", "--sample", "4"], env, { isTTY: true });
    expect(code).toBe(0);
    expect(stderr).toContain("for Kinde");
  });

  it("shows progress on a terminal and prints the partial result when stopped", async () => {
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

  it("rejects --sample with --all, and names a missing scope of the application", async () => {
    await begin(1);
    expect(await kindling(["verify", "--all", "--sample", "3"], env)).toMatchObject({
      code: 2,
      stderr: "error: verify expects --sample or --all, not both\n",
    });
    stack.emulator.faults.set({ kind: "error", status: 403 });
    const { code, stderr } = await kindling(["verify"], env);
    expect(code).toBe(2);
    expect(stderr).toMatch(/scope read:user/);
  });
});
