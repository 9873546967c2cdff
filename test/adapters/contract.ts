import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { exportJWK, generateKeyPair } from "jose";
import type { Emulator } from "kinde-emulator";
import { createPublicKeys } from "kindling/contract";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEmulator } from "../support/emulator.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { uniquePrefix } from "../support/stack.ts";
import { startWire, type Wire } from "../support/wire.ts";
import type { AppEnv } from "./app-kindling.ts";
import definitions from "./definitions.ts";

/** An app under test. Below its URL, it serves `/flags`, `/admin`, `/active` and `/onboarding`. */
export interface App {
  url: string;
  close(): Promise<void>;
}

/** An answer of an app. */
interface Answer {
  status: number;
  text: string;
  location: string | null;
}

/** Starts an app with this environment. */
export type StartApp = (env: AppEnv) => Promise<App>;

/** Options for {@link describeAdapter}. */
export interface ContractOptions {
  /** Status of the framework's redirects. */
  redirects: 303 | 307;
  /** Time for the framework to start and compile, in milliseconds. Default 20,000. */
  startTimeoutMs?: number;
  /** Edits the module that opens Redis, and resolves once the framework has evaluated it again. */
  edit?: () => Promise<unknown>;
  /** Defines further tests, which run before the app is stopped. */
  further?: () => void;
}

/** Extracts the JSON that `/flags` shows, which Next renders as a page. */
function parseFlags({ text }: Answer) {
  const [, shown = text] = /<pre>(.*?)<\/pre>/s.exec(text) ?? [];
  return JSON.parse(shown.replaceAll("&quot;", '"').replaceAll("&#x27;", "'").replaceAll("&amp;", "&"));
}

/** The cases that every adapter must pass, over HTTP against an app of the real framework. */
export function describeAdapter(
  name: string,
  start: StartApp,
  { redirects, startTimeoutMs = 20_000, edit, further }: ContractOptions,
): void {
  describe(name, () => {
    const keys = createPublicKeys(uniquePrefix());
    const prefix = keys.complete.split(":")[0] ?? "";
    const defaults = { onboarded: false, tier: "free", admin: false, suspended: true };
    let emulator: Emulator;
    let redis: Redis;
    let wire: Wire;
    let app: App;
    let clientId: string;
    let read: string[] = [];

    const get = async (path: string, token?: string): Promise<Answer> => {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}`, cookie: `token=${token}` };
      const response = await fetch(`${app.url}${path}`, { headers, redirect: "manual" });
      return { status: response.status, text: await response.text(), location: response.headers.get("location") };
    };
    const flagsOf = async (token?: string) => parseFlags(await get("/flags", token));
    const claims = (userId: string, changes: Record<string, unknown> = {}) => {
      const iat = Math.floor(Date.now() / 1000);
      return {
        iss: emulator.url,
        sub: userId,
        azp: clientId,
        aud: [],
        iat,
        exp: iat + 3_600,
        jti: randomUUID(),
        ...changes,
      };
    };
    const sign = (userId: string, changes?: Record<string, unknown>) =>
      emulator.deliveries.sign(claims(userId, changes));
    const store = (userId: string, flags: object, { status = "present", age = 0, organizations = {} } = {}) => {
      const fetchedAt = Date.now() - age;
      const record = { flags, status, fetchedAt, ticket: 1, schema: definitions.schema, organizations };
      return redis.set(keys.flags(userId), JSON.stringify(record));
    };

    const connections = async () =>
      String(await redis.client("LIST"))
        .split("\n")
        .filter((line) => line.includes(` name=${prefix} `)).length;

    beforeAll(async () => {
      emulator = await startEmulator();
      redis = new Redis(testRedisUrl());
      wire = await startWire(testRedisUrl());
      wire.onRequest((piece) => {
        read.push(...[...piece.matchAll(/\$3\r\nget\r\n\$\d+\r\n(\S+)/gi)].map(([, key]) => String(key)));
      });
      clientId = `app_${name.toLowerCase()}`;
      app = await start({
        REDIS_URL: wire.url,
        KINDLING_PREFIX: prefix,
        KINDE_ISSUER_URL: emulator.url,
        KINDE_CLIENT_ID: clientId,
      });
      // Development servers compile a route when it is first asked for.
      for (const path of ["/flags", "/admin", "/active", "/onboarding"]) await get(path);
    }, startTimeoutMs);

    afterAll(async () => {
      // Closed by the last test, unless only some run.
      await app?.close();
      await wire.close();
      const left = await redis.keys(`*${prefix}*`);
      if (left.length > 0) await redis.del(left);
      redis.disconnect();
      await emulator.close();
    }, startTimeoutMs);

    it("reads a signed-in user's flags with one GET, however often they are asked for", async () => {
      const user = testUser(1);
      await store(user, { onboarded: true, tier: "pro", admin: true, suspended: false });
      const token = await sign(user);
      await flagsOf(token);
      read = [];
      const result = await flagsOf(token);
      expect(result).toMatchObject({
        userId: user,
        reason: null,
        status: "present",
        source: "record",
        flags: { onboarded: true, tier: "pro", admin: true, suspended: false },
        denied: [],
      });
      expect(read).toEqual([keys.flags(user)]);
    });

    it("gives an anonymous caller defaults and deny values without asking Redis", async () => {
      read = [];
      expect(await flagsOf()).toMatchObject({
        userId: null,
        reason: "no_token",
        source: "defaults",
        flags: defaults,
        denied: ["suspended"],
        organization: null,
      });
      expect(read).toEqual([]);
    });

    it("takes expired, forged and foreign tokens for anonymous, and says why", async () => {
      const user = testUser(2);
      await store(user, { onboarded: true, tier: "pro", admin: true, suspended: false });
      const { privateKey } = await generateKeyPair("RS256", { extractable: true });
      const forged = await emulator.deliveries.sign(claims(user), { key: await exportJWK(privateKey) });
      const refused = [
        { token: await sign(user, { exp: Math.floor(Date.now() / 1000) - 1 }), reason: "token_expired" },
        { token: forged, reason: "token_invalid" },
        { token: await sign(user, { azp: "another_app" }), reason: "token_invalid" },
        { token: "nonsense", reason: "token_invalid" },
      ];
      read = [];
      for (const { token, reason } of refused) {
        expect(await flagsOf(token)).toMatchObject({ userId: null, reason, flags: defaults, denied: ["suspended"] });
      }
      expect(read).toEqual([]);
    });

    it("tells an outage of the signing keys from a bad token, and answers guards with 503", async () => {
      const unknownKey = await emulator.deliveries.sign(claims(testUser(1)), { header: { kid: "rotated" } });
      const restore = emulator.faults.set({ kind: "error", status: 503, path: "/.well-known/jwks" });
      expect(await flagsOf(unknownKey)).toMatchObject({ userId: null, reason: "keys_unavailable", flags: defaults });
      expect(await get("/admin", unknownKey)).toMatchObject({ status: 503 });
      restore();
      expect(await flagsOf(unknownKey)).toMatchObject({ userId: null, reason: "token_invalid" });
    });

    it("gives a deleted user defaults and deny values, and lets no guard pass", async () => {
      const user = testUser(3);
      await store(user, definitions.defaults, { status: "deleted" });
      const token = await sign(user, { permissions: ["admin:access"], org_code: "org_a" });
      expect(await flagsOf(token)).toMatchObject({
        userId: null,
        reason: "user_deleted",
        status: "deleted",
        flags: defaults,
      });
      expect(await get("/admin", token)).toMatchObject({ status: 401 });
    });

    it("refuses a suspended user, and denies by an old record of a flag with a deny rule", async () => {
      const user = testUser(4);
      const flags = { onboarded: true, tier: "pro", admin: false, suspended: false };
      const token = await sign(user);
      await store(user, flags);
      expect(await get("/active", token)).toMatchObject({ status: 200, text: expect.stringContaining("active") });
      await store(user, { ...flags, suspended: true });
      expect(await get("/active", token)).toMatchObject({ status: 403 });
      await store(user, flags, { age: 120_000 });
      expect(await flagsOf(token)).toMatchObject({ status: "present", flags: { ...flags, suspended: true } });
      expect(await get("/active", token)).toMatchObject({ status: 403 });
    });

    it("answers the first call after sign-up from the token's claims", async () => {
      const user = testUser(5);
      const user_properties = { plan_tier: { v: "pro" }, onboarded: { v: "true" } };
      const token = await sign(user, { user_properties, permissions: ["admin:access"], org_code: "org_a" });
      expect(await flagsOf(token)).toMatchObject({
        userId: user,
        status: "missing",
        source: "claims",
        flags: { onboarded: true, tier: "pro", admin: true, suspended: true },
      });
      expect(await get("/admin", token)).toMatchObject({ status: 200, text: expect.stringContaining(user) });
    });

    it("reads for the organization that the verified token names, whatever its form, with one GET", async () => {
      const user = testUser(8);
      const organizations = { "*": { teamAdmin: false }, org_a: { teamAdmin: true } };
      await store(user, { onboarded: true, tier: "pro", admin: false, suspended: false }, { organizations });
      const asked = async (org_code: unknown) => {
        const token = await sign(user, { org_code });
        read = [];
        const { flags, organization } = await flagsOf(token);
        expect(read).toEqual([keys.flags(user)]);
        return { teamAdmin: flags.teamAdmin, organization };
      };
      expect(await asked("org_a")).toEqual({ teamAdmin: true, organization: "org_a" });
      expect(await asked("org_b")).toEqual({ teamAdmin: false, organization: "org_b" });
      expect(await asked(undefined)).toEqual({ teamAdmin: false, organization: null });
      for (const code of ["__proto__", "*", "org_a\n", "", ["org_a"], { org_a: true }, 1]) {
        expect((await asked(code)).teamAdmin).toBe(false);
      }
    });

    it("guards by status and by redirect", async () => {
      const user = testUser(6);
      const token = await sign(user);
      await store(user, { onboarded: false, tier: "free", admin: false, suspended: false });
      expect(await get("/admin")).toMatchObject({ status: 401 });
      expect(await get("/admin", token)).toMatchObject({ status: 403 });
      expect(await get("/onboarding")).toMatchObject({ status: redirects, location: "/login" });
      expect(await get("/onboarding", token)).toMatchObject({ status: redirects, location: "/welcome" });
      await store(user, { onboarded: true, tier: "free", admin: true, suspended: false });
      expect(await get("/admin", token)).toMatchObject({ status: 200, text: expect.stringContaining(`admin ${user}`) });
      expect(await get("/onboarding", token)).toMatchObject({
        status: 200,
        text: expect.stringContaining("tier free"),
      });
    });

    it("answers while Redis is away and reads again once it is back", async () => {
      const user = testUser(7);
      const token = await sign(user);
      await store(user, { onboarded: true, tier: "pro", admin: true, suspended: false });
      wire.cut();
      const started = performance.now();
      expect(await flagsOf(token)).toMatchObject({ userId: user, status: "unavailable", flags: defaults });
      expect(await get("/admin", token)).toMatchObject({ status: 503 });
      expect(performance.now() - started).toBeLessThan(5_000);
      wire.restore();
      await expect.poll(() => get("/admin", token), { timeout: 10_000 }).toMatchObject({ status: 200 });
    });

    const itIfEditable = it.runIf(edit !== undefined);
    itIfEditable(
      "opens no further connection when a module is evaluated again",
      { timeout: startTimeoutMs },
      async () => {
        const token = await sign(testUser(1));
        await flagsOf(token);
        const before = await connections();
        expect(before).toBeGreaterThan(0);
        let isEvaluated = false;
        const evaluated = edit?.().then(() => {
          isEvaluated = true;
        });
        // Modules are evaluated again when a request needs them.
        const request = async () => (await flagsOf(token)) && isEvaluated;
        await expect.poll(request, { timeout: startTimeoutMs, interval: 200 }).toBe(true);
        await evaluated;
        expect(await flagsOf(token)).toMatchObject({ status: "present" });
        expect(await connections()).toBe(before);
      },
    );

    further?.();

    it("leaves no connection behind when it stops", async () => {
      expect(await connections()).toBeGreaterThan(0);
      await app.close();
      await expect.poll(connections, { timeout: 10_000 }).toBe(0);
    });
  });
}
