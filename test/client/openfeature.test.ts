import { OpenFeature, ProviderEvents, ProviderStatus } from "@openfeature/server-sdk";
import { createReader, defineFlags, fresh, property, type Reader } from "kindling";
import { createOpenFeatureProvider } from "kindling/openfeature";
import { createTestReader, type TestReader } from "kindling/testing";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";

const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: true }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  seats: property.number("seats", { default: 1 }),
  region: property.string("compliance_region", { default: null }),
  limits: (profile) => ({ projects: profile.isSuspended ? 0 : 3 }),
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
});
type Values = typeof definitions.defaults;

const users = { kp_a: { onboarded: false, tier: "pro", seats: 5, limits: { projects: 9 } } } as const;
/** How often the provider looks whether an unavailable Redis is back, in milliseconds. */
const probeMs = 10;
const ada = { targetingKey: "kp_a" };

let listening = new AbortController();

/** The real SDK over a provider. */
async function setUp(options: { maxAge?: number; reader?: Reader<Values> } = {}) {
  const reader: TestReader<Values> = createTestReader(users, { definitions });
  await OpenFeature.setProviderAndWait(createOpenFeatureProvider({ reader, probeMs, ...options }));
  const client = OpenFeature.getClient();
  listening = new AbortController();
  const seen: string[] = [];
  for (const event of [ProviderEvents.Stale, ProviderEvents.Ready] as const) {
    client.addHandler(
      event,
      () => {
        seen.push(event);
      },
      { signal: listening.signal },
    );
  }
  seen.length = 0;
  return { reader, client, seen };
}

afterEach(async () => {
  await OpenFeature.clearProviders();
  listening.abort();
});

describe("the OpenFeature provider, through OpenFeature's SDK", () => {
  it("answers flags of every type with TARGETING_MATCH and the record's metadata", async () => {
    const { client } = await setUp();
    expect(await client.getBooleanDetails("onboarded", true, ada)).toMatchObject({
      value: false,
      reason: "TARGETING_MATCH",
      flagMetadata: { status: "present", source: "record", denied: false, ageMs: expect.any(Number) },
    });
    expect(await client.getStringValue("tier", "none", ada)).toBe("pro");
    expect(await client.getNumberValue("seats", 0, ada)).toBe(5);
    expect(await client.getObjectValue("limits", {}, ada)).toEqual({ projects: 9 });
  });

  it("answers the declared default with DEFAULT for a missing and for a deleted user", async () => {
    const { client, reader } = await setUp();
    const missing = await client.getBooleanDetails("onboarded", false, { targetingKey: "kp_b" });
    expect(missing).toMatchObject({
      value: true,
      reason: "DEFAULT",
      flagMetadata: { status: "missing", source: "defaults" },
    });
    expect(missing.flagMetadata).not.toHaveProperty("ageMs");
    reader.delete("kp_a");
    expect(await client.getNumberDetails("seats", 9, ada)).toMatchObject({
      value: 1,
      reason: "DEFAULT",
      flagMetadata: { status: "deleted" },
    });
  });

  it("answers the caller's default for a flag that is null", async () => {
    const { client } = await setUp();
    expect(await client.getStringDetails("region", "eu", ada)).toMatchObject({ value: "eu", reason: "DEFAULT" });
  });

  it.each([
    ["FLAG_NOT_FOUND", "colour", ada],
    ["FLAG_NOT_FOUND", "toString", ada],
    ["TYPE_MISMATCH", "seats", ada],
    ["TARGETING_KEY_MISSING", "tier", {}],
    ["TARGETING_KEY_MISSING", "tier", { targetingKey: "" }],
  ])("reports %s for %s and answers the caller's default", async (errorCode, flag, evaluation) => {
    const { client } = await setUp();
    expect(await client.getStringDetails(flag, "mine", evaluation)).toMatchObject({
      value: "mine",
      reason: "ERROR",
      errorCode,
    });
  });

  it("reports a corrupt record", async () => {
    const redis = { get: async () => "{", mget: async (keys: string[]) => keys.map(() => "{") };
    const { client } = await setUp({ reader: createReader({ redis, definitions, wait: 0 }) });
    expect(await client.getStringDetails("tier", "mine", ada)).toMatchObject({
      value: "mine",
      errorCode: "PARSE_ERROR",
    });
  });

  it("passes the organization of the context on, and says CACHED for an answer from memory", async () => {
    const asked: unknown[] = [];
    const { get, ...rest } = createTestReader(users, { definitions });
    const reader: Reader<Values> = {
      ...rest,
      async get(userId, options) {
        asked.push(options);
        const answer = await get(userId, options);
        return { ...answer, cached: true };
      },
    };
    const { client } = await setUp({ reader });
    const details = await client.getStringDetails("tier", "none", { ...ada, organization: "org_a" });
    expect(details).toMatchObject({ value: "pro", reason: "CACHED" });
    expect(asked).toEqual([{ maxAge: Number.POSITIVE_INFINITY, organization: "org_a" }]);
  });

  it("marks values older than maxAge as STALE", async () => {
    const { client, reader } = await setUp({ maxAge: 10_000 });
    reader.set("kp_a", {}, { age: 11_000 });
    expect(await client.getStringDetails("tier", "none", ada)).toMatchObject({ value: "pro", reason: "STALE" });
    reader.set("kp_a", {}, { age: 9_000 });
    expect(await client.getStringDetails("tier", "none", ada)).toMatchObject({ reason: "TARGETING_MATCH" });
  });

  it("answers a deny value, whatever the caller's default: too old, no user, Redis away", async () => {
    const { client, reader } = await setUp();
    const denied = { value: true, flagMetadata: { denied: true } };
    expect(await client.getBooleanDetails("suspended", false, ada)).toMatchObject({ value: false });
    reader.set("kp_a", {}, { age: 61_000 });
    expect(await client.getBooleanDetails("suspended", false, ada)).toMatchObject(denied);
    expect(await client.getBooleanDetails("suspended", false, {})).toMatchObject(denied);
    reader.setAvailable(false);
    expect(await client.getBooleanDetails("suspended", false, ada)).toMatchObject(denied);
  });

  it("becomes stale when Redis goes, and ready when it is back, without an evaluation", async () => {
    const { client, reader, seen } = await setUp();
    reader.setAvailable(false);
    expect(await client.getStringDetails("tier", "mine", ada)).toMatchObject({
      value: "mine",
      reason: "ERROR",
      errorCode: "GENERAL",
      flagMetadata: { status: "unavailable" },
    });
    await client.getStringDetails("tier", "mine", ada);
    await expect.poll(() => seen).toEqual([ProviderEvents.Stale]);
    expect(client.providerStatus).toBe(ProviderStatus.STALE);
    reader.setAvailable(true);
    await expect.poll(() => seen).toEqual([ProviderEvents.Stale, ProviderEvents.Ready]);
    expect(client.providerStatus).toBe(ProviderStatus.READY);
    expect(await client.getStringValue("tier", "mine", ada)).toBe("pro");
  });

  it("does not become ready, during an outage, by what is answered without a question to anyone", async () => {
    const { client, reader, seen } = await setUp();
    reader.setAvailable(false);
    const { get } = reader;
    let looked = 0;
    // As over HTTP: a request is made for user ids only.
    reader.get = async (userId, options) => {
      const answer = await get(userId, options);
      looked += 1;
      return userId === "kp_a" ? answer : { ...answer, status: "missing" };
    };
    await client.getStringValue("tier", "mine", ada);
    await client.getStringValue("tier", "mine", { targetingKey: "anonymous" });
    await expect.poll(() => looked).toBeGreaterThan(4);
    expect(seen).toEqual([ProviderEvents.Stale]);
  });

  it("stops looking for Redis once it is closed, even if an answer is on its way", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const { client, reader } = await setUp();
    reader.setAvailable(false);
    await client.getStringValue("tier", "mine", ada);
    let looked = 0;
    let answer = () => {};
    const { get } = reader;
    reader.get = async (...request) => {
      looked += 1;
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return get(...request);
    };
    await vi.advanceTimersByTimeAsync(probeMs);
    expect(looked).toBe(1);
    await OpenFeature.clearProviders();
    answer();
    await vi.advanceTimersByTimeAsync(10 * probeMs);
    expect(looked).toBe(1);
  });
});
