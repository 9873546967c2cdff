import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { beginAudit, noteVerdict } from "../../src/audit/audit.ts";
import { readStatus } from "../../src/status/read-status.ts";
import { slotMs } from "../../src/sweep/pace.ts";
import { storedSweep } from "../../src/sweep/stored-sweep.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { storedWalks } from "../../src/sweep/walks-state.ts";
import { defaultPace } from "../support/defaults.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { envOf, kindling } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;

beforeEach(async () => {
  stack = await startStack({ workers: false });
  env = envOf(stack.config);
});

afterEach(() => stack.close());

const failure = {
  code: "kinde_forbidden",
  message: "Give it the scope.",
  failedAt: Date.now() - 60_000,
  attempts: 1,
  final: true,
};

async function commitRecords(count: number) {
  const record = { flags: {}, status: "present", fetchedAt: 1, ticket: 1, schema: "s" } as const;
  const pipeline = stack.store.redis.pipeline();
  for (let index = 0; index < count; index += 1) {
    pipeline.set(stack.store.keys.flags(`kp_${index}`), JSON.stringify(record));
    pipeline.set(stack.store.keys.profile(`kp_${index}`), "{}");
  }
  await pipeline.exec();
}

describe("kindling status", () => {
  it("shows events, ledger and queues after webhooks", async () => {
    stack.subscribe();
    const { id } = stack.emulator.kinde.createUser();
    stack.emulator.kinde.suspendUser(id);
    stack.emulator.kinde.createOrganization();
    stack.emulator.kinde.emit("subscriber.created", {});
    await stack.emulator.deliveries.settled();
    const [delivery] = stack.emulator.deliveries.list();
    await stack.emulator.deliveries.redeliver(delivery?.eventId ?? "");
    // The second refresh of the burst is delayed first, then waiting.
    await until(async () => {
      const { code, json } = await kindling(["status", "--json"], env);
      expect(code).toBe(0);
      expect(json).toMatchObject({
        prefix: stack.config.prefix,
        queues: { refresh: { active: 0 }, bulk: { waiting: 0 }, fanout: { waiting: 1 } },
        ledger: { users: { size: 1, failed: 0 }, fanouts: { size: 1, failed: 0 } },
        events: {
          duplicate: 1,
          accepted: { "user.created": 1, "user.updated": 1, "organization.created": 1 },
          ignored: { "subscriber.created": 1 },
        },
        lastFailures: [],
      });
    });
    const { stdout } = await kindling(["status"], env);
    expect(stdout).toMatch(/users +1 outstanding +oldest /);
    expect(stdout).toMatch(/accepted +user\.created +1/);
    expect(stdout).toMatch(/duplicate +1/);
  });

  it("shows a pause of calls to Kinde and the call budget", async () => {
    await stack.store.budget.pause(60_000);
    const { json } = await kindling(["status", "--json"], env);
    expect(json).toMatchObject({ calls: { inUse: 0, available: 100, perMinute: 100_000, atOnce: 100 } });
    const { stdout } = await kindling(["status"], env);
    expect(stdout).toMatch(/status +paused for (1 m|59 s)/);
  });

  it("shows the latest failures of users and fan-outs and exits with 0", async () => {
    await stack.store.ledger.fail("kp_1", { ...failure, failedAt: failure.failedAt - 60_000 });
    await stack.store.fanoutLedger.fail("role:r1", failure);
    const { code, json, stdout } = await kindling(["status", "--json"], env);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      ledger: { users: { failed: 1 }, fanouts: { failed: 1 } },
      lastFailures: [
        { kind: "fanout", member: "role:r1", code: "kinde_forbidden" },
        { kind: "user", member: "kp_1", attempts: 1, final: true },
      ],
    });
    expect(stdout).not.toContain(stack.config.clientSecret);
    expect((await kindling(["status"], env)).stdout).toMatch(/role:r1 +kinde_forbidden +1 m( \d+ s)? ago/);
  });

  it("warns about a sweep that listed too few users, and one that disputes many, and counts flags derived again", async () => {
    const begun = beginSweep({ number: 7, previous: undefined, now: Date.now(), fill: false });
    const disputed = { picture: 30, "not listed": 2 };
    const found = { users: 40, disputed, derived: 3, recorded: 100, heldBack: 60 };
    await stack.store.sweeps.finish({ ...begun, ...found }, Date.now());
    const { json } = await kindling(["status", "--json"], env);
    expect(json).toMatchObject({
      warnings: [
        { code: "listing_short", message: expect.stringContaining("60 of 100") },
        { code: "listing_disputed", message: expect.stringContaining("32 of 40 users disagree, mostly in picture") },
      ],
      sweep: { last: { disputed } },
    });
    const words = "40 users, 0 different, 0 missing, 32 disputed (picture 30, not listed 2), 3 derived again";
    expect((await kindling(["status"], env)).stdout).toContain(words);
  });

  it("states how soon a change in Kinde shows, and which walks have given up", async () => {
    const { sweeps, walkLog, recentLog, redis, keys, queues } = stack.store;
    // What a fleet with the default pace announces.
    await redis.set(keys.ledgerPart("interval:sweep"), JSON.stringify({ v: 1, intervalMs: 900_000, share: 0.1 }));
    const begun = beginSweep({ number: 7, previous: undefined, now: Date.now() - 20_000, fill: false });
    // Ends a little later, so that the next one is not late yet.
    await sweeps.finish({ ...begun, users: 50_000, lateMs: 1_500 }, begun.startedAt + 50_500);
    const walk = { startedAt: Date.now(), calls: 240, compared: 50_000, different: 3, disputed: 0 };
    await walkLog.finish("roles", {
      ...walk,
      startedAt: walk.startedAt - 840_000,
      finishedAt: walk.startedAt - 720_000,
    });
    await walkLog.finish("plans", { ...walk, finishedAt: walk.startedAt + 10_000, disputed: 600 });
    await walkLog.fail("permissions", { at: Date.now(), reason: "grant the scope read:permissions." });
    // The first walk over the others is under way, and another one over roles.
    const under = {
      startedAt: Date.now() - 720_000,
      calls: 240,
      compared: 1_200,
      different: 3,
      disputed: 0,
      cursor: "",
    };
    const state = storedWalks.versioned({ walks: { roles: under, otherPermissions: under }, turn: 1 });
    await queues.sweep.add("walks", { state }, { delay: 60_000 });
    // Twenty minutes of checks, and some before that no longer count.
    const checks = { checked: 20, different: 1, calls: 21, longestMs: 100_000, users: 400 };
    await recentLog.add({ ...checks, longestMs: 900_000 }, Date.now() - 1_801_000);
    await recentLog.add({ ...checks, longestMs: 212_000 }, Date.now() - 1_100_000);
    await recentLog.add(checks, Date.now() - 400_000);
    await recentLog.add({ ...checks, users: 412 }, Date.now());
    const { json } = await kindling(["status", "--json"], env);
    expect(json).toMatchObject({
      warnings: [
        { code: "walk_failed" },
        { code: "listing_disputed", message: expect.stringContaining("600 of 50,000") },
      ],
      sweep: {
        bound: { everyMs: 51_500, lateMs: 1_500, lagMs: 120_000, withinMs: 56_000 },
        recent: { users: 412, checked: 60, different: 3, calls: 63, withinMs: 215_000 },
        walks: {
          // As long as the one under way takes already.
          roles: { withinMs: expect.closeTo(873_000, -5), current: { calls: 240, compared: 1_200 } },
          permissions: { withinMs: null, current: null },
          otherPermissions: { withinMs: null, last: null, failed: null, current: { calls: 240, compared: 1_200 } },
          plans: { withinMs: 133_000, current: null },
        },
      },
    });
    const { stdout } = await kindling(["status"], env);
    expect(stdout).toMatch(/a change in Kinde +shows within 56 s \(up to 2 m more while Kinde's search lags\)/);
    expect(stdout).toMatch(/a change of roles +shows within 14 m \d+ s\n/);
    expect(stdout).toMatch(/of 412 recently active users +shows within 3 m 35 s\n/);
    expect(stdout).not.toMatch(/a change of permissions {2}/);
    const progress = /a change of permissions that no flag reads +known after the first comparison: (.*) so far\n/;
    expect(stdout.match(progress)?.[1]).toMatch(/^1,200 users in 240 calls and 12 m/);

    // A fleet that compares neither roles nor plans, and a queue that somebody has paused.
    await redis.set(keys.ledgerPart("interval:sweep"), JSON.stringify({ v: 1, intervalMs: 900_000, share: 0 }));
    await queues.sweep.pause();
    expect((await kindling(["status", "--json"], env)).json).toMatchObject({
      warnings: expect.arrayContaining([{ code: "queue_paused", message: expect.stringContaining("queue sweep") }]),
      sweep: { bound: { everyMs: 901_000 }, walks: { roles: { withinMs: null }, plans: { withinMs: null } } },
    });
  });

  it("states no bound that a sweep or a user it found exceeds already, and warns of a late sweep", async () => {
    const { store, config } = stack;
    const { sweeps, queues, redis, keys } = store;
    await redis.set(keys.ledgerPart("interval:sweep"), JSON.stringify({ v: 1, intervalMs: 900_000, share: 0.1 }));
    const now = Date.now();
    const ended = beginSweep({ number: 7, previous: undefined, now: now - 30_000, fill: false });
    await sweeps.finish({ ...ended, users: 1_000 }, now - 29_000);
    const at = async (ms: number) => {
      const { sweep, warnings } = await readStatus(store, config, now + ms);
      return [sweep.bound?.withinMs, warnings.map(({ code }) => code)];
    };
    const hour = 3_600_000;
    expect(await at(0)).toEqual([33_000, []]);
    // Nobody starts the next one.
    expect(await at(hour)).toEqual([hour + 33_000, ["sweep_late"]]);
    // It has begun, and its second page is not answered.
    const state = storedSweep.versioned({ ...ended, startedAt: now, calls: 1 });
    const job = await queues.sweep.add("sweep", { paced: true, dueAt: now, state }, { delay: 60_000 });
    expect(await at(20_000)).toEqual([
      53_000 - slotMs({ ...defaultPace, perMinute: config.calls.perMinute, calls: 3 }),
      [],
    ]);
    await job.remove();
    await queues.enqueueBulk(["kp_1"], 1);
    await queues.bulk.add("sweep", { userId: "kp_2" }, { timestamp: now - 50_000 });
    expect(await at(0)).toEqual([30_000 + 51_000, []]);
  });

  it("counts records and tombstones", async () => {
    await commitRecords(30);
    await stack.store.records.bury("kp_7", { flags: {}, status: "deleted", fetchedAt: 1, ticket: 2, schema: "s" });
    const { json } = await kindling(["status", "--json"], env);
    const { records } = json as { records: { present: number; deleted: number } };
    expect(records.present).toBeGreaterThanOrEqual(29);
    expect(records).toMatchObject({ present: 29, deleted: 1, exact: true });
  });

  it("estimates the number of many records from a sample and says so", async () => {
    await commitRecords(40_000);
    const { json } = await kindling(["status", "--json"], env);
    const { records } = json as { records: { present: number; deleted: number; exact: boolean } };
    expect(records.exact).toBe(false);
    expect(records.present).toBeGreaterThan(36_000);
    expect(records.present).toBeLessThan(44_000);
    expect(records.deleted).toBeLessThan(100);
    expect((await kindling(["status"], env)).stdout).toMatch(/users +about \d+,\d{3}\n.*estimated from a sample/);
  });

  it("uses colors only on a terminal without NO_COLOR", async () => {
    const sequence = "\u001b[";
    expect((await kindling(["status"], env, { isTTY: true })).stdout).toContain(sequence);
    expect((await kindling(["status"], { ...env, NO_COLOR: "1" }, { isTTY: true })).stdout).not.toContain(sequence);
    expect((await kindling(["status"], env)).stdout).not.toContain(sequence);
  });

  it("shows the time to readable and the result of the last audit", async () => {
    const { store } = stack;
    const id = "kp_1";
    await store.redis.zadd(store.keys.ledger, (Date.now() - 20_000) * 1000, id);
    await store.redis.hset(store.keys.ledgerPart("latest"), id, String((Date.now() - 20_000) * 1000));
    const { ticket, events } = await store.ledger.begin(id);
    await store.ledger.settle(id, ticket, { events });
    const verdict = { verdict: "drift", looks: 2, cause: "property_change", fields: ["flags.tier"] } as const;
    const drifted = noteVerdict(beginAudit([], Date.now()), id, verdict);
    await store.audits.finish(noteVerdict(drifted, "kp_2", { verdict: "failed" }), Date.now());
    const { json } = await kindling(["status", "--json"], env);
    expect(json).toMatchObject({
      warnings: [
        {
          code: "drift",
          message:
            "Drift: 1 of 1 record in the last audit differed from Kinde (100%). Check more records: kindling verify",
        },
      ],
      freshness: {
        readable: { lastDay: { events: 1, within10s: 0, within60s: 1 }, ever: { events: 1, within1s: 0, within5m: 1 } },
        audit: { checked: 1, drifted: 1, failed: 1, rate: 1, atMost: 1 },
        audits: { checked: 1, failed: 1, drift: { property_change: 1, missed_event: 0 } },
        silence: null,
        webhook: null,
      },
    });
    const { stdout } = await kindling(["status"], env);
    expect(stdout).toMatch(/readable, ever +1 event: 0% within 1 s, 0% within 10 s, 100% within 60 s, 100% within 5 m/);
    expect(stdout).toMatch(
      /last audit +\d+ (ms|s) ago: 1 of 1 differed \(100%\), property_change 1, no answer for 1 user /,
    );
  });

  it("names the fields that differ most often in a sweep, if its version recorded them", async () => {
    const { store } = stack;
    const fields = { picture: 2, email: 1, properties: 1_500, organizations: 30 };
    const state = { ...beginSweep({ number: 1, previous: undefined, now: Date.now(), fill: false }), different: 1_533 };
    await store.sweeps.finish({ ...state, fields }, Date.now());
    expect(await kindling(["status", "--json"], env)).toMatchObject({ json: { sweep: { last: { fields } } } });
    const { stdout } = await kindling(["status"], env);
    expect(stdout).toContain("1,533 different (properties 1,500, organizations 30, picture 2, …), 0 missing");
    const { fields: _none, ...older } = state;
    await store.sweeps.finish(older, Date.now());
    const { code, stdout: before } = await kindling(["status"], env);
    expect({ code, before }).toEqual({ code: 0, before: expect.stringContaining("1,533 different, 0 missing") });
  });

  it("warns about silence and a missing webhook without a call to Kinde", async () => {
    const { store, emulator } = stack;
    const day = 86_400_000;
    const longAgo = Date.now() - 30 * day;
    const pulse = { total: 0, heardAt: longAgo, lookedAt: longAgo, since: longAgo, silences: {} };
    await store.redis.set(store.keys.ledgerPart("pulse"), JSON.stringify(pulse));
    await store.audits.noteWebhook({ state: "missing", checkedAt: Date.now() });
    emulator.stats.reset();
    const { code, json } = await kindling(["status", "--json"], env);
    expect(code).toBe(0);
    expect((json as { warnings: { code: string }[] }).warnings.map((warning) => warning.code)).toEqual([
      "webhook_missing",
      "silence",
    ]);
    const { stdout } = await kindling(["status"], env);
    expect(stdout).toMatch(
      /^! Kinde has no webhook for Kindling\. Create it: kindling webhook register <url>\n! No event/,
    );
    await store.audits.noteWebhook({ state: "ok", endpoint: "https://x.example/", checkedAt: Date.now() });
    expect((await kindling(["status"], env)).stdout).toContain("Kinde may have switched it off");
    const reason = "give the application the scope read:webhooks";
    await store.audits.noteWebhook({ state: "unknown", reason, checkedAt: Date.now() });
    expect((await kindling(["status"], env)).stdout).toMatch(
      /webhook at Kinde +unknown: give the application the scope/,
    );
    expect(emulator.stats.total).toBe(0);
  });
});
