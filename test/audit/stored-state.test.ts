import { beforeEach, describe, expect, it } from "vitest";
import { type AuditState, beginAudit } from "../../src/audit/audit.ts";
import { createAuditLog } from "../../src/audit/audit-log.ts";
import { storedAudit } from "../../src/audit/stored-audit.ts";
import type { WebhookCheck } from "../../src/webhook/check-registration.ts";
import { useRedis } from "../support/redis.ts";
import { unreadable } from "../support/stored.ts";

const context = useRedis();
const state: AuditState = {
  ...beginAudit(["kp_1"], 1_000),
  checked: 5,
  drifted: 1,
  causes: { missing: 1 },
  examples: [{ userId: "kp_2", cause: "missing", fields: ["user"] }],
};
/** What releases wrote that did not count failures. */
const { failed: _failed, ...oldest } = state;
const log = () => createAuditLog(context);

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
});

describe("the stored state of an audit", () => {
  it("is read back with its version removed", () => {
    expect(storedAudit.versioned(state)).toEqual({ ...state, v: 1 });
    expect(storedAudit.parse(storedAudit.versioned(state))).toEqual(state);
  });

  it("is migrated from releases without versions", () => {
    expect(storedAudit.parse(oldest)).toEqual(state);
  });

  it.each(unreadable(state))("treats %s as absent", (_what, text) => {
    expect(storedAudit.parse(text)).toBeUndefined();
  });

  it.each([
    { rest: "kp_1" },
    { rest: [1] },
    { checked: "5" },
    { causes: { moonlight: 1 } },
    { causes: { missing: -1 } },
    { examples: [{ userId: "kp_2", cause: "missing" }] },
  ])("treats a state with %j as absent", (invalid) => {
    expect(storedAudit.parse({ ...storedAudit.versioned(state), ...invalid })).toBeUndefined();
  });
});

describe("the last audit", () => {
  const key = () => context.keys.ledgerPart("audit:last");
  const { rest: _rest, ...counts } = state;
  const finished = { ...counts, finishedAt: 2_000 };

  it("is read back with its version removed", async () => {
    await log().finish(state, 2_000);
    expect(JSON.parse((await context.redis.get(key())) ?? "")).toEqual({ ...finished, v: 1 });
    expect(await log().last()).toEqual(finished);
  });

  it("is migrated from releases without versions", async () => {
    const { failed: _none, ...older } = finished;
    await context.redis.set(key(), JSON.stringify(older));
    expect(await log().last()).toEqual(finished);
  });

  it.each(unreadable(finished))("treats %s as absent", async (_what, text) => {
    await context.redis.set(key(), text);
    expect(await log().last()).toBeUndefined();
  });
});

describe("the totals of all audits", () => {
  const key = () => context.keys.ledgerPart("audit:totals");
  const none = {
    deletion: 0,
    missing: 0,
    backlog: 0,
    lost_race: 0,
    flag_definitions: 0,
    property_change: 0,
    missed_event: 0,
  };

  it("are zero at first and add up", async () => {
    expect(await log().totals()).toEqual({ checked: 0, unsettled: 0, failed: 0, drift: none });
    await log().finish(state, 2_000);
    await log().finish(state, 3_000);
    expect(await context.redis.hget(key(), "v")).toBe("1");
    expect(await log().totals()).toEqual({ checked: 10, unsettled: 0, failed: 0, drift: { ...none, missing: 2 } });
  });

  it("continue from releases without versions", async () => {
    await context.redis.hset(key(), { checked: 40, unsettled: 1, missing: 2 });
    await log().finish(state, 2_000);
    expect(await log().totals()).toEqual({ checked: 45, unsettled: 1, failed: 0, drift: { ...none, missing: 3 } });
  });

  it.each([
    ["malformed fields", { checked: "many", unsettled: 0 }],
    ["negative counts", { checked: -4 }],
    ["a newer version", { checked: 4, v: 2 }],
  ])("start again with %s", async (_what, fields) => {
    await context.redis.hset(key(), fields);
    expect(await log().totals()).toEqual({ checked: 0, unsettled: 0, failed: 0, drift: none });
    await log().finish(state, 2_000);
    expect(await log().totals()).toEqual({ checked: 5, unsettled: 0, failed: 0, drift: { ...none, missing: 1 } });
  });
});

describe("the last check of the webhook", () => {
  const key = () => context.keys.ledgerPart("audit:webhook");
  const check: WebhookCheck = {
    state: "incomplete",
    checkedAt: 1_000,
    endpoint: "https://a.test",
    missingTypes: ["x"],
  };

  it("is read back with its version removed", async () => {
    await log().noteWebhook(check);
    expect(JSON.parse((await context.redis.get(key())) ?? "")).toEqual({ ...check, v: 1 });
    expect(await log().webhook()).toEqual(check);
  });

  it("is read from releases without versions", async () => {
    await context.redis.set(key(), '{"state":"missing","checkedAt":1}');
    expect(await log().webhook()).toEqual({ state: "missing", checkedAt: 1 });
  });

  it.each([...unreadable(check), ["an unknown state", JSON.stringify({ ...check, state: "sleepy" })]])(
    "treats %s as absent",
    async (_what, text) => {
      await context.redis.set(key(), text);
      expect(await log().webhook()).toBeUndefined();
    },
  );
});
