import { setMaxListeners } from "node:events";
import { type Definitions, defineFlags, fresh, organizationProperty, property } from "kindling";
import { blankProfile, type Profile } from "kindling/contract";
import { beforeEach, describe, expect, it } from "vitest";
import { KindeError, type KindeErrorCode, ThrottledError } from "../../src/errors.ts";
import type { Priority } from "../../src/kinde/call-budget.ts";
import type { Call, ManagementApi } from "../../src/kinde/management-api.ts";
import { createOrganizationStore } from "../../src/redis/organization-store.ts";
import { addLiveOrganizations, createOrganizations } from "../../src/refresh/organizations.ts";
import { useRedis } from "../support/redis.ts";

const context = useRedis();
const call = { priority: "webhook", signal: new AbortController().signal } as const;
setMaxListeners(0, call.signal);
const definitions = defineFlags({ seats: organizationProperty.number("seats", { default: 1 }) });
const parts = new Set(["organizationProperties"] as const);
const user = { ...blankProfile("kp_1"), organizations: [{ code: "org_a", roles: [], permissions: [] }] };
let ticket = 0;
let seats: string;
let calls: number;
let answering: Promise<void>;
let changed: string[];

beforeEach(async () => {
  const left = await context.redis.keys(`*${context.keys.prefix}*`);
  if (left.length > 0) await context.redis.del(left);
  seats = "1";
  calls = 0;
  answering = Promise.resolve();
  changed = [];
});

const api: ManagementApi = {
  async get<T>({ answer }: Call<T>) {
    calls += 1;
    const billing = { agreements: [{ agreement_id: "a1", plan_code: "pro" }] };
    const value = { code: "org_a", billing, properties: [{ key: "seats", value: seats }] };
    await answering;
    return answer.parse(value);
  },
  send: () => Promise.reject(new Error("Unexpected write.")),
};

const store = () => createOrganizationStore({ ...context, ttlMs: 60_000 });
/** Draws tickets at the times of Redis' clock that the test sets. */
const ledgerAt = (now: () => number) => ({
  begin: async () => ({
    ticket: ++ticket,
    at: now() * 1000,
    events: 0,
    deleted: false,
    written: {},
    absent: false,
    outstanding: false,
    concern: "everything" as const,
    confirmDue: false,
  }),
  clock: async () => now(),
});
const open = (now = () => 1_000, kinde = api, flags: Definitions = definitions) =>
  createOrganizations({
    api: kinde,
    store: store(),
    definitions: flags,
    ledger: ledgerAt(now),
    maxAgeMs: 100,
    settleMs: 30,
    onChange: async (code) => {
      changed.push(code);
    },
  });
const seatsOf = async (from: ReturnType<typeof open>, at = 1_000) =>
  (await from.addTo(user, parts, at, call)).organizations[0]?.properties?.seats;

function gate() {
  let release = () => {};
  answering = new Promise((resolve) => {
    release = resolve;
  });
  return release;
}

describe("the shared details of organizations", () => {
  it("are read from Redis until they are too old", async () => {
    expect(await seatsOf(open())).toBe("1");
    seats = "2";
    expect(await seatsOf(open(), 1_100)).toBe("1");
    expect(
      await seatsOf(
        open(() => 1_101),
        1_101,
      ),
    ).toBe("2");
    expect(calls).toBe(2);
  });

  it.each([
    ["a property", organizationProperty.number("seats", { default: 1 })],
    ["a function", ({ organizations }: Profile) => Number(organizations[0]?.properties?.seats ?? 1)],
  ])("are as recent as the user's fetch if a flag of %s limits its age", async (_, flag) => {
    const limited = defineFlags({ seats: fresh<number>(flag, { maxAge: 10, whenOlder: "deny", value: 0 }) });
    expect(await seatsOf(open(undefined, api, limited))).toBe("1");
    seats = "2";
    const later = open(() => 1_050, api, limited);
    expect(await seatsOf(later, 1_050)).toBe("2");
  });

  it("share one call among refreshes that run at the same time", async () => {
    const organizations = open();
    await Promise.all(Array.from({ length: 10 }, () => seatsOf(organizations)));
    expect(calls).toBe(1);
  });

  it("do not share a call that started before the change was announced", async () => {
    const organizations = open();
    const release = gate();
    const slow = seatsOf(organizations);
    await expect.poll(() => calls).toBe(1);
    seats = "2";
    await organizations.forget("org_a");
    answering = Promise.resolve();
    expect(await seatsOf(organizations)).toBe("2");
    release();
    expect(await slow).toBe("1");
    // The slow answer was not stored: its ticket is older than the announcement.
    expect(await seatsOf(organizations)).toBe("2");
  });

  it("are fetched once more when the settle time after a change is over, whatever a copy of Kinde's that lags said", async () => {
    let clock = 1_000;
    const organizations = open(() => clock);
    await seatsOf(organizations);
    await organizations.forget("org_a", 1_000);
    clock = 1_010;
    expect(await seatsOf(organizations, clock)).toBe("1");
    seats = "2";
    clock = 1_029;
    expect(await seatsOf(organizations, clock)).toBe("1");
    // A fetch that began within the settle time is no answer either.
    const release = gate();
    await organizations.forget("org_a", 1_000);
    const early = seatsOf(organizations, clock);
    await expect.poll(() => calls).toBe(3);
    clock = 1_030;
    const late = seatsOf(organizations, clock);
    await expect.poll(() => calls).toBe(4);
    release();
    await Promise.all([early, late]);
    expect(await seatsOf(organizations, 1_031)).toBe("2");
    // All members are refreshed because of the announced change already.
    expect([calls, changed]).toEqual([4, []]);
    seats = "3";
    clock = 2_000;
    expect(await seatsOf(organizations, clock)).toBe("3");
    expect([calls, changed]).toEqual([5, ["org_a"]]);
    // Nor does a property that changes all the time concern them again and again.
    await organizations.forget("org_a", clock);
    await seatsOf(organizations, clock);
    seats = "4";
    clock += 30;
    expect(await seatsOf(organizations, clock)).toBe("4");
    expect([calls, changed]).toEqual([7, ["org_a"]]);
  });

  it("are fetched again if their fetch is ahead of Redis' clock, which stepped back", async () => {
    let clock = 90_000;
    const organizations = open(() => clock);
    expect(await seatsOf(organizations, clock)).toBe("1");
    await organizations.forget("org_a");
    expect(await seatsOf(organizations, clock)).toBe("1");
    clock = 1_000;
    seats = "2";
    expect(await seatsOf(organizations, clock)).toBe("2");
    expect(calls).toBe(3);
    // Fetched since the refresh began, which is not ahead of the clock.
    clock = 1_020;
    expect(await seatsOf(organizations, 990)).toBe("2");
    expect(calls).toBe(3);
    // The settle time began again with the clock, and is over.
    clock = 1_030;
    expect(await seatsOf(organizations, clock)).toBe("2");
    expect(calls).toBe(4);
    expect((await store().readMany(["org_a"]))[0]).not.toHaveProperty("settledAt");
  });

  it("do not share a call that waits longer for the call budget", async () => {
    const asked: string[] = [];
    const get: ManagementApi["get"] = async (request, options) => {
      asked.push(options.priority);
      return api.get(request, options);
    };
    const organizations = open(undefined, { ...api, get });
    const release = gate();
    const seatsFor = (priority: Priority) => organizations.addTo(user, parts, 1_000, { ...call, priority });
    const waiting = [seatsFor("bulk")];
    await expect.poll(() => asked).toEqual(["bulk"]);
    waiting.push(seatsFor("bulk"), seatsFor("request"));
    await expect.poll(() => asked).toEqual(["bulk", "request"]);
    waiting.push(seatsFor("webhook"));
    await expect.poll(() => asked).toEqual(["bulk", "request", "webhook"]);
    waiting.push(seatsFor("bulk"), seatsFor("request"), seatsFor("webhook"));
    release();
    await Promise.all(waiting);
    expect(asked).toEqual(["bulk", "request", "webhook"]);
  });

  it("do not share a call for fewer parts than a member reads", async () => {
    const functions = defineFlags({ any: (profile) => profile.organizations.length > 0 });
    const organizations = open(undefined, api, functions);
    const release = gate();
    const [properties, both] = [parts, new Set([...parts, "organizationAgreements"] as const)];
    const first = organizations.addTo(user, properties, 1_000, call);
    await expect.poll(() => calls).toBe(1);
    const second = organizations.addTo(user, both, 1_000, call);
    await expect.poll(() => calls).toBeGreaterThan(1);
    release();
    expect((await first).organizations[0]?.properties).toEqual({ seats: "1" });
    expect((await second).organizations[0]).toMatchObject({
      properties: { seats: "1" },
      agreements: [{ id: "a1", planCode: "pro" }],
    });
  });

  it("share a call that goes on until nobody waits for it", async () => {
    const signals: AbortSignal[] = [];
    const get: ManagementApi["get"] = async (request, options) => {
      signals.push(options.signal);
      return api.get(request, options);
    };
    const organizations = open(undefined, { ...api, get });
    const callers = Array.from({ length: 3 }, () => new AbortController());
    const seatsFor = ({ signal }: AbortController) => organizations.addTo(user, parts, 1_000, { ...call, signal });
    const [first, second, third] = callers as [AbortController, AbortController, AbortController];
    const release = gate();
    const left = seatsFor(first);
    const stayed = seatsFor(second);
    await expect.poll(() => signals).toHaveLength(1);
    first.abort(new Error("left"));
    await expect(left).rejects.toThrow("left");
    release();
    expect((await stayed).organizations[0]?.properties).toEqual({ seats: "1" });

    await organizations.forget("org_a");
    gate();
    const last = seatsFor(third);
    await expect.poll(() => signals).toHaveLength(2);
    third.abort(new Error("left"));
    await expect(last).rejects.toThrow("left");
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, true]);
    answering = Promise.resolve();
    expect((await seatsFor(second)).organizations[0]?.properties).toEqual({ seats: "1" });
  });

  it("report a change once, and none after an announcement or without an earlier value", async () => {
    await seatsOf(open());
    await open(() => 2_000).recheck(["org_a"], call);
    expect(changed).toEqual([]);
    seats = "2";
    await open(() => 3_000).recheck(["org_a", "org_a"], call);
    await open(() => 4_000).recheck(["org_a"], call);
    expect(changed).toEqual(["org_a"]);
    seats = "3";
    await open().forget("org_a");
    await open(() => 5_000).recheck(["org_a"], call);
    expect(changed).toEqual(["org_a"]);
  });

  it("are compared with what is known after an event that can be about them, at once and when it has settled", async () => {
    let clock = 1_000;
    const organizations = open(() => clock);
    await seatsOf(organizations);
    const doubted = async () => {
      await organizations.doubt("org_a", clock, call);
      return [calls, changed];
    };
    seats = "2";
    expect(await doubted()).toEqual([2, ["org_a"]]);
    // A copy of Kinde's that lags has answered, or the next event came soon: the next sweep finds the difference.
    seats = "3";
    clock = 1_010;
    expect(await doubted()).toEqual([2, ["org_a"]]);
    clock = 1_039;
    await organizations.recheck(["org_a"], call);
    expect(calls).toBe(2);
    clock = 1_040;
    await organizations.recheck(["org_a"], call);
    expect([calls, changed]).toEqual([3, ["org_a", "org_a"]]);
    await organizations.recheck(["org_a"], call);
    expect(calls).toBe(3);
    // However many events follow each other, one fetch in a settle time.
    for (clock = 1_050; clock < 1_110; clock += 5) await doubted();
    expect([calls, changed]).toEqual([5, ["org_a", "org_a"]]);
  });

  it("are not asked for after an event if no flag reads them", async () => {
    const plain = open(undefined, api, defineFlags({ tier: property.string("plan_tier", { default: "free" }) }));
    await plain.doubt("org_a", 1_000, call);
    expect([calls, await store().readMany(["org_a"])]).toEqual([0, [undefined]]);
  });

  describe("that functions alone read", () => {
    const reading = defineFlags({
      seats: ({ organizations }) => Number(organizations[0]?.properties?.seats ?? 1),
    });
    const openAt = (now: number) => open(() => now, api, reading);

    it("are compared by a process that has not read them since it started", async () => {
      await openAt(1_000).recheck(["org_a"], call);
      expect(calls).toBe(0);
      await seatsOf(openAt(1_000));
      seats = "2";
      await openAt(2_000).recheck(["org_a", "org_b"], call);
      expect({ changed, calls }).toEqual({ changed: ["org_a"], calls: 2 });
      expect(await seatsOf(openAt(2_000))).toBe("2");
    });

    it("keep the part that another process reads", async () => {
      const agreements = new Set(["organizationAgreements"] as const);
      await seatsOf(openAt(1_000));
      await openAt(2_000).addTo(user, agreements, 2_000, call);
      expect(calls).toBe(3);
      expect(await seatsOf(openAt(2_000), 2_000)).toBe("1");
      expect(calls).toBe(3);
    });
  });

  it("are asked for a few at a time, in the order of the memberships", async () => {
    const organizations = Array.from({ length: 23 }, (_, number) => ({
      code: `org_${number}`,
      roles: [],
      permissions: [],
    }));
    const many = { ...user, organizations };
    let [asking, most] = [0, 0];
    const get: ManagementApi["get"] = async ({ path, answer }) => {
      most = Math.max(most, ++asking);
      await new Promise(setImmediate);
      asking -= 1;
      return answer.parse({ properties: [{ key: "code", value: path.split("/").at(-2) }] });
    };
    const kinde = { ...api, get };
    for (const found of [
      await open(undefined, kinde).addTo(many, parts, 1_000, call),
      await addLiveOrganizations(kinde, many, parts, call),
    ]) {
      expect(found.organizations.map(({ properties }) => properties?.code)).toEqual(
        organizations.map(({ code }) => code),
      );
    }
    expect(most).toBe(3);
  });

  it("are found again if the report of the change failed", async () => {
    await seatsOf(open());
    seats = "2";
    const failing = createOrganizations({
      api,
      store: store(),
      definitions,
      ledger: ledgerAt(() => 2_000),
      maxAgeMs: 100,
      settleMs: 30,
      onChange: () => Promise.reject(new Error("Redis is away.")),
    });
    await expect(failing.recheck(["org_a"], call)).rejects.toThrow("away");
    await open(() => 2_000).recheck(["org_a"], call);
    expect(changed).toEqual(["org_a"]);
  });

  it("do not end a sweep if Kinde has no answer about a few of them", async () => {
    const codes = Array.from({ length: 12 }, (_, number) => `org_${number}`);
    const asked: string[] = [];
    let clock = 0;
    const recheck = (failing: number, code: KindeErrorCode) => {
      clock += 1_000;
      const get: ManagementApi["get"] = async (request) => {
        const number = Number(/org_(\d+)/.exec(request.path)?.[1]);
        if (number < failing) throw new KindeError(code, "Kinde does not answer.");
        asked.push(`org_${number}`);
        return api.get(request, call);
      };
      return open(() => clock, { ...api, get }).recheck(codes, call);
    };
    await recheck(10, "kinde_unavailable");
    expect(asked.sort()).toEqual(["org_10", "org_11"]);
    await expect(recheck(11, "kinde_unavailable")).rejects.toThrow("does not answer");
    await expect(recheck(1, "kinde_forbidden")).rejects.toThrow("does not answer");
  });

  it("end no sweep while Kinde limits their calls, but are not asked for until the limit is over", async () => {
    const get: ManagementApi["get"] = async () => {
      calls += 1;
      throw new ThrottledError(5_000, { scope: "one" });
    };
    const organizations = open(undefined, { ...api, get });
    const codes = Array.from({ length: 30 }, (_, number) => `org_${number}`);
    await organizations.recheck(codes, call);
    await organizations.recheck(codes, call);
    expect(calls).toBe(3);
    const paused = { ...api, get: () => Promise.reject(new ThrottledError(5_000)) };
    await expect(open(undefined, paused).recheck(codes, call)).rejects.toThrow("suspended");
  });

  it.each(["{", "null", '{"v":2}', '{"v":1,"ticket":"x"}', '{"v":1,"ticket":1,"fetchedAt":1e15,"properties":[]}'])(
    "are fetched again if the stored entry is %s",
    async (text) => {
      await context.redis.set(context.keys.organization("org_a"), text);
      expect(await seatsOf(open())).toBe("1");
      expect(calls).toBe(1);
    },
  );

  it("are not stored if they are very large, and are given up after their lifetime", async () => {
    seats = "x".repeat(300_000);
    expect(await seatsOf(open())).toHaveLength(300_000);
    expect(await context.redis.exists(context.keys.organization("org_a"))).toBe(0);
    seats = "1";
    await seatsOf(open());
    expect(await context.redis.pttl(context.keys.organization("org_a"))).toBeGreaterThan(50_000);
  });
});
