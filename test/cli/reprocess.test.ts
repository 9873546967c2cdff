import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { envOf, kindling, pressCtrlC, spawnKindling } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;

async function begin(options: StackOptions) {
  stack = await startStack({ workers: false, ...options });
  env = envOf(stack.config);
}

afterEach(() => stack.close());

const waitingIn = async (queue: "refresh" | "bulk") =>
  (await stack.store.queues[queue].getJobs(["waiting", "prioritized"])).map(({ data }) => data.userId).sort();

const listings = () => stack.emulator.stats.calls["GET /api/v1/users"] ?? 0;

describe("kindling reprocess <ids>, --failed, --org", () => {
  beforeEach(() => begin({ emulator: { users: 4 } }));

  it("enqueues each id once, at normal priority", async () => {
    const [first = "", second = ""] = stack.emulator.kinde.userIds();
    const { code, json } = await kindling(["reprocess", first, second, first, "--json"], env);
    expect(code).toBe(0);
    expect(json).toEqual({ v: 1, enqueued: 2, queue: "refresh", complete: true });
    expect(await waitingIn("refresh")).toEqual([first, second].sort());
    expect(await waitingIn("bulk")).toEqual([]);
  });

  it("refreshes a user whose record is newer than any event", async () => {
    const [id = ""] = stack.emulator.kinde.userIds();
    await stack.startWorkers();
    await kindling(["reprocess", id], env);
    const first = await until(async () => {
      const record = await stack.record(id);
      expect(record).toMatchObject({ status: "present" });
      return record;
    });
    stack.emulator.kinde.setProperties(id, { compliance_region: "mars" });
    expect((await kindling(["reprocess", id], env)).stdout).toBe("Enqueued 1 user.\n");
    await until(async () => expect(await stack.record(id)).toMatchObject({ flags: { region: "mars" } }));
    expect(Number((await stack.record(id))?.ticket)).toBeGreaterThan(Number(first?.ticket));
  });

  it("--failed enqueues only the users that failed, at low priority", async () => {
    const [first = "", second = "", third = ""] = stack.emulator.kinde.userIds();
    const failure = { code: "kinde_forbidden", message: "", failedAt: Date.now(), attempts: 1, final: true };
    await stack.store.ledger.fail(first, failure);
    await stack.store.ledger.fail(third, failure);
    expect((await kindling(["reprocess", "--failed", "--json"], env)).json).toMatchObject({ enqueued: 2 });
    expect(await waitingIn("bulk")).toEqual([first, third].sort());
    expect(await waitingIn("bulk")).not.toContain(second);
    expect(await waitingIn("refresh")).toEqual([]);
  });

  it("--failed retries fan-outs too, with a new access token if one lacks a scope", async () => {
    const { ledger, fanoutLedger, queues, redis, keys } = stack.store;
    const failure = { code: "kinde_unavailable", message: "", failedAt: Date.now(), attempts: 1, final: true };
    const [id = ""] = stack.emulator.kinde.userIds();
    await ledger.fail(id, failure);
    await fanoutLedger.fail("role:r1", { ...failure, code: "kinde_forbidden" });
    const tokens = () => redis.keys(`${keys.accessToken}*`);
    await kindling(["reprocess", "--org", stack.emulator.kinde.createOrganization().code], env);
    expect(await tokens()).not.toEqual([]);
    const { stdout } = await kindling(["reprocess", "--failed"], env);
    expect(stdout).toBe("Enqueued 1 user and 1 fan-out at low priority.\n");
    expect((await queues.fanout.getJobs(["waiting"])).map(({ data }) => data.subject)).toEqual(["role:r1"]);
    expect(await tokens()).toEqual([]);
  });

  it("--org enqueues all members of an organization, across pages, at low priority", async () => {
    const { code: org } = stack.emulator.kinde.createOrganization();
    const members = stack.emulator.kinde.importUsers(Array.from({ length: 501 }, () => ({ organizations: [org] })));
    const { code, json } = await kindling(["reprocess", "--org", org, "--json"], env);
    expect(code).toBe(0);
    expect(json).toEqual({ v: 1, enqueued: 501, queue: "bulk", complete: true });
    expect(await waitingIn("bulk")).toEqual(members.map(({ id }) => id).sort());
    expect(await waitingIn("refresh")).toEqual([]);
  });

  it("--org exits with 1 if Kinde has no such organization", async () => {
    const { code, stdout, stderr } = await kindling(["reprocess", "--org", "org_none"], env);
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: "",
      stderr: "error: Kinde has no organization org_none.\n",
    });
  });
});

describe("kindling reprocess --all", () => {
  it("enqueues every user at low priority and removes its bookmark at the end", async () => {
    await begin({ emulator: { users: 1_203 } });
    const { code, json, stderr } = await kindling(["reprocess", "--all", "--json"], env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(json).toEqual({ v: 1, enqueued: 1_203, resumedAt: 0, complete: true, queue: "bulk" });
    expect(await waitingIn("bulk")).toEqual([...stack.emulator.kinde.userIds()].sort());
    expect(await stack.store.redis.exists(stack.store.keys.ledgerPart("reprocess"))).toBe(0);
  });

  it("includes users that the search index does not show yet", async () => {
    await begin({});
    stack.emulator.faults.set({ kind: "search_lag", ms: 3_600_000 });
    const [imported] = stack.emulator.kinde.importUsers([{}]);
    await kindling(["reprocess", "--all"], env);
    expect(await waitingIn("bulk")).toEqual([imported?.id]);
  });

  it("resumes where Ctrl-C stopped it", async () => {
    await begin({ emulator: { users: 1_500 } });
    const interrupt = new AbortController();
    const stopped = kindling(["reprocess", "--all", "--backlog", "900", "--json"], env, { interrupt });
    // Two pages are enqueued, then the walk waits for workers, and none run.
    await until(async () => expect(await waitingIn("bulk")).toHaveLength(1_000));
    await until(async () => expect(await stack.store.redis.exists(stack.store.keys.ledgerPart("reprocess"))).toBe(1));
    pressCtrlC(interrupt);
    const { code, json, stderr } = await stopped;
    expect(code).toBe(130);
    expect(json).toMatchObject({ enqueued: 1_000, complete: false });
    expect(stderr).toContain("Stopped: run it again to go on.");

    stack.emulator.stats.reset();
    const resumed = await kindling(["reprocess", "--all", "--json"], env);
    expect(resumed.json).toMatchObject({ enqueued: 1_500, resumedAt: 1_000, complete: true });
    expect(resumed.stderr).toContain("Resuming after 1,000 users");
    expect(listings()).toBe(1);
    expect(await waitingIn("bulk")).toHaveLength(1_500);
  });

  it("rejects an invalid bookmark, and starts over with --restart", async () => {
    await begin({ emulator: { users: 600 } });
    const place = { cursor: "no-such-cursor", enqueued: 500, startedAt: 1 };
    await stack.store.redis.hset(stack.store.keys.ledgerPart("reprocess"), place);
    const refused = await kindling(["reprocess", "--all"], env);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("run again with --restart");
    const { json } = await kindling(["reprocess", "--all", "--restart", "--json"], env);
    expect(json).toMatchObject({ enqueued: 600, resumedAt: 0, complete: true });
  });

  it("waits while the bulk queue is full and continues when workers make room", async () => {
    await begin({ emulator: { users: 1_100 } });
    const running = kindling(["reprocess", "--all", "--backlog", "1", "--json"], env);
    const { redis, keys, queues } = stack.store;
    for (const enqueued of ["500", "1000"]) {
      await until(async () => expect(await redis.hget(keys.ledgerPart("reprocess"), "enqueued")).toBe(enqueued));
      expect(await waitingIn("bulk")).toHaveLength(500);
      await queues.bulk.drain();
    }
    expect((await running).json).toMatchObject({ enqueued: 1_100, complete: true });
    expect(await waitingIn("bulk")).toHaveLength(100);
  });

  it("retries after Kinde's rate limit and temporary errors", async () => {
    await begin({ emulator: { users: 600 } });
    stack.emulator.faults.set({ kind: "too_many_requests", path: "/api/v1/users", resetSeconds: 1, count: 1 });
    stack.emulator.faults.set({ kind: "error", status: 503, path: "/api/v1/users", count: 1 });
    const { code, json } = await kindling(["reprocess", "--all", "--json"], env);
    expect({ code, json }).toMatchObject({ code: 0, json: { enqueued: 600, complete: true } });
    expect(listings()).toBe(4);
  });

  it("exits with 3 if Kinde stays unreachable, and can be resumed", async () => {
    await begin({ emulator: { users: 1_100 } });
    const running = kindling(["reprocess", "--all", "--backlog", "500"], env);
    await until(async () => expect(await waitingIn("bulk")).toHaveLength(500));
    const heal = stack.emulator.faults.set({ kind: "error", status: 503 });
    await stack.store.queues.bulk.drain();
    expect((await running).code).toBe(3);
    heal();
    const { json } = await kindling(["reprocess", "--all", "--json"], env);
    expect(json).toMatchObject({ enqueued: 1_100, resumedAt: 500, complete: true });
  });

  it("leaves a quarter of the call budget to webhooks", async () => {
    await begin({ emulator: { users: 10 }, env: { KINDLING_CALLS_AT_ONCE: "4" } });
    // Bulk work gets at most three of four concurrent calls.
    const release = new AbortController();
    const held = Array.from({ length: 3 }, () =>
      stack.store.budget.run(
        "webhook",
        () => new Promise<void>((resolve) => release.signal.addEventListener("abort", () => resolve())),
      ),
    );
    await until(async () => expect((await stack.store.budget.state()).inUse).toBe(3));
    let said = "";
    const onOutput = (text: string) => {
      said = text;
    };
    const running = kindling(["reprocess", "--all"], env, { isTTY: true, onOutput });
    await until(() => expect(said).toContain("for Kinde"));
    await expect(stack.store.budget.run("webhook", async () => "served")).resolves.toBe("served");
    expect(listings()).toBe(0);
    release.abort();
    await Promise.all(held);
    expect((await running).code).toBe(0);
    expect(listings()).toBe(1);
  });

  it("draws a progress bar with share, rate and time left on a terminal", async () => {
    await begin({ emulator: { users: 2_000 } });
    const interrupt = new AbortController();
    let drawn = "";
    await kindling(["reprocess", "--all", "--backlog", "900"], env, {
      isTTY: true,
      interrupt,
      onOutput: (text) => {
        drawn = text;
        if (text.includes("waiting for workers")) pressCtrlC(interrupt);
      },
    });
    expect(drawn).toMatch(/█+░+ \d+% · 1,000 of about [12],\d{3} users · [\d,]+\/s · .* left · waiting for workers/);
    // Hiding the cursor or disabling line wrapping would have to be undone after a kill.
    expect(drawn).not.toContain("\u001b[?25l");
    expect(drawn).not.toContain("\u001b[?7l");
  });

  it("exits with 130 at the first Ctrl-C as a process, and can be resumed", async () => {
    await begin({ emulator: { users: 1_500 } });
    const { child, ended } = spawnKindling(["reprocess", "--all", "--backlog", "900"], env);
    await until(async () => expect(await waitingIn("bulk")).toHaveLength(1_000));
    child.kill("SIGINT");
    const { code, stdout, stderr } = await ended;
    expect({ code, stdout }).toEqual({ code: 130, stdout: "Enqueued 1,000 users at low priority.\n" });
    expect(stderr).toContain("Stopped: run it again to go on.");
    expect(await stack.store.redis.hget(stack.store.keys.ledgerPart("reprocess"), "enqueued")).toBe("1000");
  });
});
