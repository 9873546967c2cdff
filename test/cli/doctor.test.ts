import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { UnsecuredJWT } from "jose";
import type { Emulator } from "kinde-emulator";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readVersion } from "../../src/cli/version.ts";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import type { Check } from "../../src/maintenance/check.ts";
import { checkCredentials } from "../../src/maintenance/check-kinde.ts";
import { noteMember } from "../../src/redis/fleet.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { startEmulator } from "../support/emulator.ts";
import { testConfig } from "../support/stack.ts";
import { envOf, type InProcessOptions, kindling } from "./command-line.ts";

const webhookUrl = "https://kindling.example.com/webhooks/kinde";
let server: EmbeddedRedis;
let redis: Redis;
let emulator: Emulator;
let env: Record<string, string>;
let folder: string;

beforeAll(async () => {
  server = await startEmbeddedRedis({ durable: true });
  redis = new Redis(server.url);
  folder = await mkdtemp(join(tmpdir(), "kindling-doctor-"));
});

afterAll(async () => {
  redis.disconnect();
  await server.close();
  await rm(folder, { recursive: true });
});

beforeEach(async () => {
  emulator = await startEmulator();
  env = { ...envOf(testConfig(emulator, {}, server.url)), KINDLING_REDIS_TIMEOUT: "1s" };
  await kindling(["webhook", "register", webhookUrl], env);
  await enlist("server", readVersion());
  await enlist("worker", readVersion());
});

afterEach(async () => {
  await emulator.close();
  await redis.flushall();
});

/** Lets the fleet look as if a process ran. */
function enlist(service: string, version: string, now = Date.now, about: { host?: string; definitions?: string } = {}) {
  const keys = createKeys(env.KINDLING_PREFIX ?? "");
  const member = { services: [service], version, host: "host-1", ...about };
  return noteMember({ redis, keys }, `${service}-${version}-${member.host}`, member, now);
}

interface Diagnosis {
  ok: boolean;
  checks: Check[];
}

async function diagnose(changes: Record<string, string> = {}, options: InProcessOptions = {}) {
  const { code, json } = await kindling(["doctor", "--json"], { ...env, ...changes }, options);
  const { ok, checks } = json as Diagnosis;
  return { code, ok, checks, problems: checks.filter(({ status }) => status === "failed" || status === "warning") };
}

/** Expects exactly one problem. */
async function expectCause(
  changes: Record<string, string>,
  expected: Pick<Check, "name" | "status"> & { says: RegExp; remedy?: RegExp },
  options: InProcessOptions = {},
) {
  const { code, ok, ...found } = await diagnose(changes, options);
  // A busy machine makes Redis answer late, which is no cause of anything else.
  const problems = found.problems.filter(({ name }) => name !== "Redis latency" || name === expected.name);
  expect(problems.map(({ name, status }) => ({ name, status }))).toEqual([
    { name: expected.name, status: expected.status },
  ]);
  expect(problems[0]?.message).toMatch(expected.says);
  expect(problems[0]?.remedy ?? "").toMatch(expected.remedy ?? /^/);
  expect({ code, ok }).toEqual(expected.status === "failed" ? { code: 1, ok: false } : { code: 0, ok: true });
}

describe("kindling doctor on a sound set-up", () => {
  it("finds nothing, changes nothing, and exits with 0", async () => {
    const before = (await redis.keys("*")).sort();
    const { code, ok, problems, checks } = await diagnose();
    expect({ code, ok, problems }).toEqual({ code: 0, ok: true, problems: [] });
    expect(checks.length).toBeGreaterThan(20);
    const after = (await redis.keys("*")).sort();
    expect(after.filter((key) => !before.includes(key) && !key.includes("access-token"))).toEqual([]);
    const { stdout } = await kindling(["doctor"], { ...env, NO_COLOR: "1" }, { isTTY: true, columns: 80 });
    expect(stdout).toMatch(/^ok {7}Redis role: primary$/m);
    expect(stdout).toMatch(/0 failed, 0 with a warning, \d+ ok\.\n$/);
    expect(stdout).not.toContain(emulator.clientSecret);
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it("does not bind an unused store to the domain", async () => {
    await redis.flushall();
    const { checks } = await diagnose();
    expect(checks).toContainEqual({
      name: "Tenant",
      status: "ok",
      message: `the prefix ${env.KINDLING_PREFIX} is not in use yet`,
    });
    expect(await redis.exists(createKeys(env.KINDLING_PREFIX ?? "").tenant)).toBe(0);
  });
});

describe("kindling doctor names the cause of broken settings:", () => {
  it("a missing domain", () =>
    expectCause({ KINDE_DOMAIN: "" }, { name: "Settings", status: "failed", says: /^KINDE_DOMAIN is missing/ }));

  it("a setting that does not exist", () =>
    expectCause(
      { KINDLING_PREFX: "x" },
      { name: "Settings", status: "failed", says: /^KINDLING_PREFX is not a setting: did you mean KINDLING_PREFIX\?$/ },
    ));

  it("an invalid duration", () =>
    expectCause(
      { KINDLING_RETRY_BASE: "soon" },
      { name: "Settings", status: "failed", says: /^KINDLING_RETRY_BASE must be/ },
    ));

  it("a secret's file that does not exist", () =>
    expectCause(
      { KINDE_MANAGEMENT_CLIENT_SECRET: "", KINDE_MANAGEMENT_CLIENT_SECRET_FILE: "/no/such/file" },
      { name: "Settings", status: "failed", says: /^KINDE_MANAGEMENT_CLIENT_SECRET_FILE .*ENOENT/ },
    ));

  it("a missing flags file", () =>
    expectCause({ KINDLING_FLAGS: "none.ts" }, { name: "Flags file", status: "failed", says: /there is no file/ }));

  it("a flags file that does not parse", async () => {
    const file = join(folder, "broken.flags.ts");
    await writeFile(file, "export default defineFlags({");
    await expectCause(
      { KINDLING_FLAGS: file },
      { name: "Flags file", status: "failed", says: /broken\.flags\.ts does not load: / },
    );
  });

  it("a password that is not percent-encoded", () =>
    expectCause({ REDIS_URL: "redis://:p@ss@host" }, { name: "Settings", status: "failed", says: /write %40 for @/ }));

  it("a flags file that exports something else", async () => {
    const file = join(folder, "empty.flags.ts");
    await writeFile(file, "export default {};");
    await expectCause(
      { KINDLING_FLAGS: file },
      { name: "Flags file", status: "failed", says: /must export by default/ },
    );
  });
});

describe("kindling doctor names the cause of a broken Redis:", () => {
  const failing = (says: RegExp) => ({ name: "Redis", status: "failed", says }) as const;
  const another = async (args: readonly string[], test: (url: string) => Promise<void>, durable = true) => {
    const other = await startEmbeddedRedis({ args, durable });
    try {
      await test(other.url);
    } finally {
      await other.close();
    }
  };
  const sameHost = (change: (url: URL) => void) => {
    const url = new URL(server.url);
    change(url);
    return { REDIS_URL: url.href };
  };

  /** Lets a test talk to the Redis of all tests through a changed or slow network. */
  const throughProxy = async (
    change: (answer: string) => string,
    delayMs: number,
    test: (url: string) => Promise<void>,
  ) => {
    const { hostname, port } = new URL(server.url);
    const proxy = createTcpServer((client) => {
      const target = connect(Number(port), hostname);
      client.pipe(target);
      target.on("data", (answer) => {
        setTimeout(() => client.write(change(answer.toString("latin1")), "latin1"), delayMs);
      });
      for (const socket of [client, target])
        socket.on("error", () => undefined).on("close", () => [client, target].map((each) => each.destroy()));
    });
    await once(proxy.listen(0, "127.0.0.1"), "listening");
    try {
      await test(`redis://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    } finally {
      proxy.close();
    }
  };

  it("a version that is too old", () =>
    throughProxy(
      // Of equal length, so that the length before the text stays right.
      (answer) => answer.replace(/(?<=redis_version:)\d/, "5"),
      0,
      (url) => expectCause({ REDIS_URL: url }, failing(/^Redis 5\..* is too old: use 6\.2 or later/)),
    ));

  it("a slow network", () =>
    throughProxy(
      (answer) => answer,
      25,
      (url) =>
        expectCause(
          { REDIS_URL: url },
          { name: "Redis latency", status: "warning", says: /^\d+\.\d ms a command/, remedy: /same region/ },
        ),
    ));

  it("fewer replicas than the settings require", () =>
    expectCause(
      { KINDLING_REDIS_REPLICAS: "1" },
      {
        name: "Redis replicas",
        status: "failed",
        says: /^0 connected, 1 required: events and writes are refused$/,
        remedy: /lower KINDLING_REDIS_REPLICAS/,
      },
    ));

  it("memory that is used up", async () => {
    await redis.config("SET", "maxmemory", 1);
    try {
      const { problems } = await diagnose();
      expect(problems.at(-1)).toMatchObject({
        name: "Redis permissions",
        remedy: expect.stringContaining("maxmemory"),
      });
      expect(problems.at(-1)?.message).toMatch(/^SET is refused: OOM/);
    } finally {
      await redis.config("SET", "maxmemory", 0);
    }
  });

  it("a user who may not wait for replicas, if some are required", async () => {
    await redis.acl("SETUSER", "hasty", "reset", "on", ">right", "~*", "&*", "+@all", "-wait");
    const changes = sameHost((url) => Object.assign(url, { username: "hasty", password: "right" }));
    const { problems } = await diagnose({ ...changes, KINDLING_REDIS_REPLICAS: "1" });
    expect(problems.map(({ name }) => name)).toEqual(["Redis replicas", "Redis permissions"]);
    expect(problems.at(-1)?.message).toMatch(/^WAIT is refused: NOPERM/);
  });

  it.each([
    ["keys", ["~kindling:*", "&*", "+@all"], "Redis permissions", /^SET is refused: NOPERM/],
    ["INFO", ["~*", "&*", "+@all", "-info"], "Redis", /denies the command INFO of the user narrow/],
    ["scripts", ["~*", "&*", "+@all", "-eval", "-evalsha"], "Redis permissions", /^EVAL is refused: NOPERM/],
    ["channels", ["~*", "resetchannels", "+@all"], "Redis permissions", /^PUBLISH is refused: NOPERM/],
  ])("a user who may not use %s", async (_what, rules, name, says) => {
    await redis.acl("SETUSER", "narrow", "reset", "on", ">right", ...rules);
    const changes = sameHost((url) => Object.assign(url, { username: "narrow", password: "right" }));
    const { code, problems } = await diagnose(changes);
    expect({ code, names: problems.map((problem) => problem.name) }).toEqual({ code: 1, names: [name] });
    expect(problems[0]?.message).toMatch(says);
    expect(`${problems[0]?.message} ${problems[0]?.remedy}`).toContain("ACL rules of docs/security.md");
  });

  it("nothing listens", () =>
    expectCause({ REDIS_URL: "redis://127.0.0.1:1" }, failing(/nothing listens on that port/)));

  it("an unknown host", () =>
    expectCause({ REDIS_URL: "redis://no.invalid" }, failing(/the host name does not exist/)));

  it("a wrong password", async () => {
    await redis.acl("SETUSER", "someone", "on", ">right", "~*", "&*", "+@all");
    const changes = sameHost((url) => Object.assign(url, { username: "someone", password: "wrong" }));
    await expectCause(changes, failing(/refuses the password of the user someone/));
  });

  it("TLS on a plain port", () =>
    expectCause({ REDIS_URL: server.url.replace("redis:", "rediss:") }, failing(/speaks plain TCP, not TLS/)));

  it("a database that does not exist", () =>
    expectCause({ REDIS_URL: `${server.url}/99` }, failing(/has no database 99/)));

  it("eviction", () =>
    another(["--maxmemory-policy", "allkeys-lru"], (url) =>
      expectCause({ REDIS_URL: url }, failing(/may evict keys \(maxmemory-policy is allkeys-lru\)/)),
    ));

  it("cluster mode", () =>
    another(["--cluster-enabled", "yes"], (url) =>
      expectCause({ REDIS_URL: url }, failing(/one node of a Redis Cluster: write redis-cluster/)),
    ));

  it("a replica", () =>
    another(["--replicaof", "127.0.0.1 1"], async (url) => {
      const { problems } = await diagnose({ REDIS_URL: url });
      expect(problems[0]).toMatchObject({ name: "Redis role", status: "failed", message: /a replica of 127.0.0.1:1/ });
    }));

  it("no persistence", () =>
    another(
      [],
      async (url) => {
        const { problems } = await diagnose({ REDIS_URL: url });
        expect(problems[0]).toMatchObject({ name: "Redis persistence", status: "warning" });
        expect(problems[0]?.remedy).toContain("CONFIG SET appendonly yes");
      },
      false,
    ));

  it("memory that is nearly used up", async () => {
    const used = Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]);
    await redis.config("SET", "maxmemory", Math.round(used * 1.05));
    try {
      await expectCause({}, { name: "Redis memory", status: "warning", says: /of maxmemory is used/, remedy: /Raise/ });
    } finally {
      await redis.config("SET", "maxmemory", 0);
    }
  });

  it("a user who may not run a command", async () => {
    await redis.acl("SETUSER", "quiet", "on", ">right", "~*", "&*", "+@all", "-publish");
    const changes = sameHost((url) => Object.assign(url, { username: "quiet", password: "right" }));
    const cause = { name: "Redis permissions", status: "failed", says: /^PUBLISH is refused: NOPERM/ } as const;
    await expectCause(changes, { ...cause, remedy: /ACL rules/ });
  });

  it("a clock that is off", async () => {
    const { code, problems } = await diagnose({}, { now: () => Date.now() - 90_000 });
    expect(code).toBe(1);
    expect(problems[0]).toMatchObject({
      name: "Redis clock",
      status: "failed",
      remedy: expect.stringContaining("NTP"),
    });
    expect(problems[0]?.message).toMatch(/^1 m (29|30) s ahead of this machine: ages and expiry are wrong$/);
    expect(problems.map(({ name }) => name)).toContain("Kinde clock");
  });

  it("a store of another tenant", async () => {
    await redis.set(
      createKeys(env.KINDLING_PREFIX ?? "").tenant,
      JSON.stringify({ v: 1, domain: "https://x.kinde.com" }),
    );
    await expectCause(
      {},
      { name: "Tenant", status: "failed", says: /belongs to https:\/\/x\.kinde\.com/, remedy: /KINDE_DOMAIN/ },
    );
  });
});

describe("kindling doctor names the cause of a broken Kinde:", () => {
  it("an unknown domain", () =>
    expectCause(
      { KINDE_DOMAIN: "acme.invalid", KINDLING_PREFIX: "unused" },
      { name: "Kinde domain", status: "failed", says: /the host name does not exist/, remedy: /Check KINDE_DOMAIN/ },
    ));

  it("a domain that is not Kinde's", async () => {
    const http: Server = createServer((_request, response) => response.writeHead(404).end());
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    const domain = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const changes = { KINDE_DOMAIN: domain, KINDLING_PREFIX: "unused" };
    await expectCause(changes, { name: "Kinde domain", status: "failed", says: /no signing keys \(status 404\)/ });
    http.close();
  });

  it("a wrong client secret", () =>
    expectCause(
      { KINDE_MANAGEMENT_CLIENT_SECRET: "wrong" },
      { name: "Kinde credentials", status: "failed", says: /rejected the client credentials/ },
    ));

  it("a wrong audience", () =>
    expectCause(
      { KINDE_AUDIENCE: "https://other.kinde.com/api", KINDLING_TOKEN_STORE: "memory" },
      { name: "Kinde credentials", status: "failed", says: /KINDE_AUDIENCE/ },
    ));

  it("each missing scope of those that docs/operations.md lists", async () => {
    const page = await readFile(new URL("../../docs/operations.md", import.meta.url), "utf8");
    const rows = page.slice(page.indexOf("## Scopes"), page.indexOf("## Freshness")).split("\n");
    const section = rows.filter((row) => !row.endsWith("optional |")).join("\n");
    const documented = new Set(
      [...section.matchAll(/`((?:read|create|update|delete):\w+)`/g)].map(([, scope]) => scope),
    );
    const keep = new Set(["roles", "permissions", "billing"] as const);
    const checksWith = (granted: readonly unknown[]) => {
      const token = new UnsecuredJWT({ scp: granted }).encode();
      const options = { keep, definitions: undefined, writes: true };
      return checkCredentials({ get: async () => token }, options, new AbortController().signal);
    };
    const all = await checksWith([...documented]);
    expect(all.every(({ status }) => status === "ok")).toBe(true);
    expect(new Set(all.slice(1).flatMap(({ message }) => message.split(", ")))).toEqual(documented);
    for (const missing of documented) {
      const problems = (await checksWith([...documented].filter((scope) => scope !== missing))).filter(
        ({ status }) => status !== "ok",
      );
      expect(problems.length).toBeGreaterThan(0);
      for (const { message, remedy } of problems) {
        expect(message).toBe(`${missing} is not granted`);
        expect(remedy).toContain("Grant it to the machine-to-machine application in Kinde");
      }
    }
  });

  it("a webhook for another URL than KINDLING_WEBHOOK_URL", () =>
    expectCause(
      { KINDLING_WEBHOOK_URL: "https://new.example.com/webhooks/kinde" },
      {
        name: "Kinde webhook",
        status: "failed",
        says: /no webhook for Kindling/,
        remedy: /webhook register https:\/\/new\.example\.com/,
      },
    ));

  it.each(["read:organization_properties", "read:organizations"])(
    "a missing scope that only flags of organizations need, %s",
    async (scope) => {
      emulator.scopes.set(emulator.scopes.list().filter((granted) => granted !== scope));
      await kindling(["forget-token"], env);
      const statusWith = async (changes: Record<string, string>) =>
        (await diagnose(changes)).problems.filter(
          ({ name, message }) => message === `${scope} is not granted` && / of organizations$/.test(name),
        );
      const KINDLING_FLAGS = fileURLToPath(new URL("../end-to-end/organization.flags.ts", import.meta.url));
      expect(await statusWith({ KINDLING_FLAGS })).toMatchObject([{ status: "failed" }]);
      // The usual flags have a function, which could read anything but does not.
      expect(await statusWith({})).toMatchObject([{ status: "warning" }]);
    },
  );

  it("a missing scope that every refresh needs", async () => {
    emulator.scopes.set(emulator.scopes.list().filter((scope) => scope !== "read:user_properties"));
    await redis.flushall();
    const { code, problems } = await diagnose();
    expect(code).toBe(1);
    expect(problems).toContainEqual({
      name: "Scope for every refresh",
      status: "failed",
      message: "read:user_properties is not granted",
      remedy: expect.stringContaining("kindling forget-token"),
    });
  });

  it.each([
    ["without the write API", {}, "warning"],
    ["with the write API", { KINDLING_API_TOKEN: "t".repeat(32) }, "failed"],
  ] as const)("a missing scope for writes, %s", async (_what, changes, status) => {
    emulator.scopes.set(emulator.scopes.list().filter((scope) => scope !== "update:user_properties"));
    await kindling(["forget-token"], env);
    const says = /update:user_properties is not granted/;
    await expectCause(changes, { name: "Scope for setting properties", status, says });
  });

  it("a missing webhook", async () => {
    for (const { id } of emulator.webhooks.list()) await kindling(["webhook", "delete", id], env);
    const cause = { name: "Kinde webhook", status: "failed", says: /no webhook for Kindling/ } as const;
    await expectCause({}, { ...cause, remedy: /webhook register/ });
  });

  it("a webhook that lacks event types", async () => {
    for (const { id } of emulator.webhooks.list()) await kindling(["webhook", "delete", id], env);
    emulator.webhooks.register({ url: webhookUrl, eventTypes: ["user.created"] });
    await expectCause({}, { name: "Kinde webhook", status: "failed", says: /lacks the event types .*user\.deleted/ });
  });
});

describe("kindling doctor names the cause of a broken fleet:", () => {
  it("no process", async () => {
    await redis.del(createKeys(env.KINDLING_PREFIX ?? "").ledgerPart("fleet"));
    await expectCause(
      {},
      { name: "Fleet", status: "warning", says: /no server and no worker runs/, remedy: /kindling start/ },
    );
  });

  it("two versions", async () => {
    await enlist("worker", "0.1.0");
    await expectCause({}, { name: "Versions", status: "warning", says: /^0\.1\.0, .* run side by side/ });
  });

  it("workers with two flags files, and with another one than here", async () => {
    const fingerprint = (await import("../../kindling.flags.ts")).default.schema;
    await enlist("worker", readVersion(), Date.now, { host: "host-2", definitions: "0123456789ab" });
    await expectCause(
      {},
      { name: "Definitions", status: "warning", says: /0123456789ab on host-2, here \w+$/, remedy: /KINDLING_FLAGS/ },
    );
    await enlist("worker", readVersion(), Date.now, { host: "host-3", definitions: fingerprint });
    await expectCause(
      {},
      {
        name: "Definitions",
        status: "warning",
        says: /0123456789ab on host-2; .* on host-3/,
        remedy: /same flags file/,
      },
    );
  });

  it("an event that waits for long", async () => {
    await redis.zadd(createKeys(env.KINDLING_PREFIX ?? "").ledger, (Date.now() - 3_600_000) * 1_000, "kp_1");
    await expectCause({}, { name: "Work", status: "warning", says: /waits for 1 h/, remedy: /call budget/ });
  });

  it("a paused queue", async () => {
    await redis.hset(`{${env.KINDLING_PREFIX}}:refresh:meta`, "paused", "1");
    await expectCause({}, { name: "Warning queue_paused", status: "warning", says: /resumes it, on the dashboard/ });
  });

  it("a process whose clock is off", async () => {
    await enlist("worker", readVersion(), () => Date.now() + 120_000);
    await expectCause(
      {},
      { name: "Redis clock as host-1 sees it", status: "failed", says: /^[12] m .*behind this machine/ },
    );
  });

  it("failed refreshes", async () => {
    const failure = { code: "kinde_forbidden", message: "", failedAt: Date.now(), attempts: 1, final: true };
    const { createLedger } = await import("../../src/redis/ledger.ts");
    await createLedger({ redis, keys: createKeys(env.KINDLING_PREFIX ?? ""), name: "users", now: Date.now }).fail(
      "kp_1",
      failure,
    );
    await expectCause({}, { name: "Work", status: "warning", says: /^1 refresh failed/, remedy: /kindling failed/ });
  });
});
