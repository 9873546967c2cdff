import { Redis } from "ioredis";
import { createReader, defineFlags, fresh, property, type Reader } from "kindling";
import { createRequestReader, findRefusal, oncePerProcess, perRequest, type Verify } from "kindling/request";
import { acceptUserIds } from "kindling/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, expectTypeOf, it } from "vitest";
import { createShare } from "../../packages/kindling/src/request/create-share.ts";
import { useRedis } from "../support/redis.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { until } from "../support/until.ts";
import { startWire, type Wire } from "../support/wire.ts";

const definitions = defineFlags({
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
});
const context = useRedis();
const user = testUser(1);
let wire: Wire;
let redis: Redis;
let reader: Reader<typeof definitions.defaults>;
let gets = 0;

beforeAll(async () => {
  wire = await startWire(testRedisUrl());
  wire.onRequest((piece) => {
    gets += [...piece.matchAll(/\$3\r\nget\r\n/gi)].length;
  });
  redis = new Redis(wire.url);
  reader = createReader({ redis, definitions, prefix: context.keys.prefix, timeoutMs: 10_000, wait: 0 });
});

afterAll(async () => {
  reader.close();
  redis.disconnect();
  await wire.close();
});

const store = (tier: string) =>
  context.redis.set(
    context.keys.flags(user),
    JSON.stringify({
      flags: { tier, suspended: false },
      status: "present",
      fetchedAt: Date.now(),
      ticket: 1,
      schema: definitions.schema,
    }),
  );

beforeEach(async () => {
  await store("free");
  gets = 0;
});

const requests = (verify: Verify = acceptUserIds) => createRequestReader({ reader, verify });

describe("findRefusal", () => {
  it("lets nobody pass but for true: JavaScript can return a promise or a text", async () => {
    const result = await requests().read({ token: user });
    expect(findRefusal(result, ({ tier }) => tier === "free")).toBeUndefined();
    const truthy = [async () => false, () => "no", () => ({}), () => 1] as unknown as (() => boolean)[];
    for (const requirement of truthy) expect(findRefusal(result, requirement)).toMatchObject({ status: 403 });
  });
});

describe("perRequest", () => {
  it("reads nothing until it is called, and then once", async () => {
    let asked = 0;
    const token = () => {
      asked += 1;
      return user;
    };
    const read = perRequest(requests(), { token });
    expect(asked).toBe(0);
    const [first, second] = await Promise.all([read(), read()]);
    expect(first).toMatchObject({ userId: user, reason: null, flags: { tier: "free", suspended: false } });
    expect(await read()).toBe(first);
    expect(second).toBe(first);
    expect({ asked, gets }).toEqual({ asked: 1, gets: 1 });
  });

  it("reads again after forget, so that a request sees its own writes", async () => {
    const read = perRequest(requests(), { token: user });
    await read();
    await store("pro");
    expect((await read()).flags.tier).toBe("free");
    read.forget();
    expect((await read()).flags.tier).toBe("pro");
  });

  it("trusts a user id that the app has authenticated", async () => {
    expect(await perRequest(requests(), { userId: user })()).toMatchObject({ userId: user, status: "present" });
    expect(await perRequest(requests(), { userId: async () => null })()).toMatchObject({ userId: null });
  });

  it.each<[string, () => string | null | undefined | Promise<string>]>([
    ["returns nothing", () => undefined],
    ["returns an empty text", () => ""],
    [
      "throws",
      () => {
        throw new Error("not signed in");
      },
    ],
    ["rejects", () => Promise.reject(new Error("not signed in"))],
  ])("takes the caller for anonymous when the token function %s", async (_what, token) => {
    expect(await perRequest(requests(), { token })()).toEqual({
      flags: { tier: "free", suspended: true },
      status: "missing",
      source: "defaults",
      fetchedAt: null,
      age: null,
      denied: ["suspended"],
      userId: null,
      reason: "no_token",
      detail: expect.not.stringContaining("not signed in"),
    });
    expect(gets).toBe(0);
  });

  it("takes a verifier that throws for an outage", async () => {
    const kindling = requests(async () => Promise.reject(new TypeError("broken")));
    expect(await kindling.read({ token: user })).toMatchObject({ userId: null, reason: "keys_unavailable" });
  });

  it("takes a reader that rejects for an unavailable one, once and again", async () => {
    const rejecting = { ...reader, get: () => Promise.reject(new Error("broken")) };
    const kindling = createRequestReader({ reader: rejecting, verify: acceptUserIds });
    for (let n = 0; n < 2; n += 1) {
      const results = await Promise.all([kindling.read({ token: user }), kindling.read({ token: user })]);
      const unavailable = { userId: user, reason: null, status: "unavailable", denied: ["suspended"] };
      expect(results).toMatchObject([unavailable, unavailable]);
    }
  });

  it("passes the verified claims on to the reader", async () => {
    const stranger = testUser(2);
    const verify: Verify = async () => ({
      userId: stranger,
      claims: { sub: stranger, user_properties: { plan_tier: { v: "pro" } } },
    });
    expect(await requests(verify).read({ token: "any" })).toMatchObject({ source: "claims", flags: { tier: "pro" } });
  });

  it("passes the organization of a trusted user on, and shares no read between organizations", async () => {
    const asked: unknown[] = [];
    const recording: Reader<typeof definitions.defaults> = {
      ...reader,
      get: (userId, options) => {
        asked.push(options);
        return reader.get(userId, options);
      },
    };
    const kindling = createRequestReader({ reader: recording, verify: acceptUserIds });
    const organizations = ["org_a", "org_b", "org_a", null];
    await Promise.all(organizations.map((organization) => kindling.read({ userId: user, organization })));
    expect(asked).toEqual([{ organization: "org_a" }, { organization: "org_b" }, { organization: null }]);
  });

  it("infers the flags' types", async () => {
    const { flags } = await perRequest(requests(), { token: user })();
    expectTypeOf(flags.tier).toEqualTypeOf<"free" | "pro">();
  });
});

describe("concurrent requests of one user", () => {
  it("share one GET, and cannot change each other's flags", async () => {
    const kindling = requests();
    const results = await Promise.all(Array.from({ length: 20 }, () => kindling.read({ token: user })));
    expect(gets).toBe(1);
    for (const result of results) expect(result).toEqual(results[0]);
    if (results[0] !== undefined) Object.assign(results[0].flags, { tier: "changed" });
    expect(results.slice(1).map(({ flags }) => flags.tier)).toEqual(Array(19).fill("free"));
  });

  it("share no GET that was sent before they came: a write that happened in between is seen", async () => {
    const kindling = requests();
    // The answer to the first GET is on its way, with the old value, while the write completes.
    let release = () => {};
    const sent = new Promise<void>((resolve) => {
      const slow: Reader<typeof definitions.defaults> = {
        ...reader,
        async get(userId, options) {
          const answer = await reader.get(userId, options);
          resolve();
          if (answer.flags.tier === "free")
            await new Promise<void>((go) => {
              release = go;
            });
          return answer;
        },
      };
      Object.assign(kindling, createRequestReader({ reader: slow, verify: acceptUserIds }));
    });
    const first = kindling.read({ token: user });
    await sent;
    await store("pro");
    const later = Array.from({ length: 10 }, () => kindling.read({ token: user }));
    release();
    expect((await first).flags.tier).toBe("free");
    expect((await Promise.all(later)).map(({ flags }) => flags.tier)).toEqual(Array(10).fill("pro"));
    expect(gets).toBe(2);
  });

  it("read separately for different users, and again for later requests", async () => {
    const kindling = requests();
    await Promise.all([kindling.read({ token: user }), kindling.read({ token: testUser(3) })]);
    // The second user has no record: one more GET finds out whether the store is complete.
    expect(gets).toBe(3);
    await kindling.read({ token: user });
    expect(gets).toBe(4);
  });

  it.each([
    ["was being verified", false],
    ["had been sent", true],
  ])("do not wait for a read that %s when Cloudflare Workers cancelled its request", async (_what, departs) => {
    const share = createShare<{ flags: string }>(100);
    void share("a", (depart) => {
      if (departs) depart();
      return new Promise(() => undefined);
    });
    await Promise.resolve();
    const read = async () => ({ flags: "read" });
    expect(await Promise.all([share("a", read), share("a", read)])).toEqual([{ flags: "read" }, { flags: "read" }]);
    expect(await share("a", read)).toEqual({ flags: "read" });
  });

  it("are answered when Redis is away", async () => {
    const hasty = createReader({ redis, definitions, prefix: context.keys.prefix, timeoutMs: 50 });
    const kindling = createRequestReader({ reader: hasty, verify: acceptUserIds });
    wire.freeze();
    const results = await Promise.all([kindling.read({ token: user }), kindling.read({ token: user })]);
    expect(results).toMatchObject([{ status: "unavailable" }, { status: "unavailable", denied: ["suspended"] }]);
    wire.restore();
    await until(async () => expect(await kindling.read({ token: user })).toMatchObject({ status: "present" }));
    hasty.close();
  });
});

describe("oncePerProcess", () => {
  it("creates one instance per name", () => {
    const create = () => ({});
    const name = context.keys.prefix;
    expect(oncePerProcess(name, create)).toBe(oncePerProcess(name, create));
    expect(oncePerProcess(`${name} 2`, create)).not.toBe(oncePerProcess(name, create));
  });
});
