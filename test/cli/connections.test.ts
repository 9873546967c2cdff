import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { createCertificate } from "../support/tls.ts";
import { kindling, spawnDemo, spawnKindling } from "./command-line.ts";

let redis: EmbeddedRedis;
let host: string;
let tlsPort: number;
const servers: Server[] = [];

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

beforeAll(async () => {
  redis = await startEmbeddedRedis();
  const admin = new Redis(redis.url);
  await admin.acl("SETUSER", "bare", "on", ">right", "~*", "-@all");
  await admin.acl("SETUSER", "narrow", "on", ">right", "~*", "&*", "+@all", "-select");
  await admin.config("SET", "requirepass", "right");
  admin.disconnect();
  host = new URL(redis.url).host;
  tlsPort = await listen(
    createTlsServer(await createCertificate(), (client) => {
      const target = connect(Number(host.split(":")[1]), "127.0.0.1");
      client.pipe(target).pipe(client);
      for (const socket of [client, target]) socket.on("error", () => undefined);
    }),
  );
});

afterAll(async () => {
  for (const server of servers) server.close();
  await redis.close();
});

const settings = { KINDLING_REDIS_TIMEOUT: "1s" };

async function expectUnreachable(url: string, message: string) {
  const { code, stdout, stderr } = await kindling(["status"], { ...settings, REDIS_URL: url });
  expect({ code, stdout, stderr }).toEqual({ code: 3, stdout: "", stderr: `error: ${message}\n` });
}

describe("a Redis that does not accept the connection", () => {
  it("names a wrong password, and the user it belongs to", async () => {
    await expectUnreachable(`redis://:wrong@${host}`, `Redis at ${host} refuses the password: correct REDIS_URL.`);
    const message = `Redis at ${host} refuses the password of the user bare: correct REDIS_URL.`;
    await expectUnreachable(`redis://bare:wrong@${host}`, message);
  });

  it("names a missing password", async () => {
    const advice = "write it into REDIS_URL, as in redis://:<password>@host, or use REDIS_URL_FILE.";
    await expectUnreachable(`redis://${host}`, `Redis at ${host} requires a password: ${advice}`);
  });

  it("names a command that the user is denied", async () => {
    const message = `Redis at ${host} denies the command INFO of the user bare: use the ACL rules of docs/security.md.`;
    await expectUnreachable(`redis://bare:right@${host}`, message);
  });

  it("refuses a database that does not exist instead of using database 0", async () => {
    const advice = "correct the number at the end of REDIS_URL, or raise `databases` in redis.conf.";
    await expectUnreachable(`redis://:right@${host}/99`, `Redis at ${host} has no database 99: ${advice}`);
    const { code, stderr } = await kindling(["status"], { REDIS_URL: `redis://:right@${host}/one` });
    const words = "error: REDIS_URL must end in the number of a database, such as /0\n";
    expect({ code, stderr }).toEqual({ code: 2, stderr: words });
  });

  it("refuses a database that the user may not select instead of using database 0", async () => {
    const denied = "denies the command SELECT of the user narrow: use the ACL rules of docs/security.md.";
    await expectUnreachable(`redis://narrow:right@${host}/1`, `Redis at ${host} ${denied}`);
  });

  it("names TLS on a plain port, plain TCP on a TLS port, and an untrusted certificate", async () => {
    const plain = "speaks plain TCP, not TLS: write redis:// in REDIS_URL, or use its TLS port.";
    await expectUnreachable(`rediss://:right@${host}`, `Redis at ${host} ${plain}`);
    const secured = `127.0.0.1:${tlsPort}`;
    const expected = `Redis at ${secured} expects TLS: write rediss:// in REDIS_URL.`;
    await expectUnreachable(`redis://:right@${secured}`, expected);
    const { stderr } = await kindling(["status"], { ...settings, REDIS_URL: `rediss://:right@${secured}` });
    expect(stderr).toContain(`Redis at ${secured} cannot be reached: its certificate is not trusted`);
  });

  it("names a host that does not exist, a port that nothing listens on, and a server that is not Redis", async () => {
    const advice = "Check that Redis is running, or correct REDIS_URL.";
    const nowhere = "Redis at no-such-host.invalid:6379 cannot be reached: the host name does not exist.";
    await expectUnreachable("redis://no-such-host.invalid", `${nowhere} ${advice}`);
    const closed = createServer();
    const port = await listen(closed);
    closed.close();
    const silent = `Redis at 127.0.0.1:${port} cannot be reached: nothing listens on that port.`;
    await expectUnreachable(`redis://127.0.0.1:${port}`, `${silent} ${advice}`);
    const http = await listen(createHttpServer());
    const answered = `Redis at 127.0.0.1:${http} is not Redis: an HTTP server answers. Correct REDIS_URL.`;
    await expectUnreachable(`redis://127.0.0.1:${http}`, answered);
  });

  it("says the same in the demo, without text of a library", async () => {
    const closed = createServer();
    const port = await listen(closed);
    closed.close();
    const { code, stderr } = await spawnDemo([], { REDIS_URL: `redis://127.0.0.1:${port}` }).ended;
    const message = `Redis at 127.0.0.1:${port} cannot be reached: nothing listens on that port.`;
    expect({ code, stderr }).toEqual({
      code: 3,
      stderr: `error: ${message} Check that Redis is running, or correct REDIS_URL.\n`,
    });
  });
});

describe("a Kinde that cannot be reached", () => {
  it("names host and cause and exits with 3", async () => {
    const env = {
      REDIS_URL: `redis://:right@${host}`,
      KINDE_MANAGEMENT_CLIENT_ID: "id",
      KINDE_MANAGEMENT_CLIENT_SECRET: "secret",
    };
    const nowhere = { ...env, KINDE_DOMAIN: "no-such-tenant.invalid", KINDLING_PREFIX: "one" };
    const unknown = await kindling(["webhook", "list"], nowhere);
    expect({ code: unknown.code, stderr: unknown.stderr }).toEqual({
      code: 3,
      stderr:
        "error: https://no-such-tenant.invalid issued no access token: the host name does not exist; check KINDE_DOMAIN.\n",
    });
    const closed = createServer();
    const domain = `http://127.0.0.1:${await listen(closed)}`;
    closed.close();
    const refused = await kindling(["webhook", "list"], { ...env, KINDE_DOMAIN: domain, KINDLING_PREFIX: "two" });
    expect(refused.stderr).toContain(`${domain} issued no access token: nothing listens on that port`);
    expect(refused.code).toBe(3);
  });
});

describe("settings", () => {
  it("of Kinde are not needed by commands that call Redis only", async () => {
    const env = { REDIS_URL: `redis://:right@${host}` };
    for (const args of [["status"], ["failed"], ["failed", "retry", "--all"], ["sweep"], ["reprocess", "kp_1"]]) {
      expect(await kindling(args, env)).toMatchObject({ code: 0, stderr: "" });
    }
    const { code, stderr } = await kindling(["verify"], env);
    expect(code).toBe(2);
    expect(stderr).toContain("KINDE_DOMAIN is missing");
    const wrong = await kindling(["status"], { ...env, KINDE_DOMAIN: "http://acme.kinde.com" });
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("must use https") });
  });

  it("that do not exist are refused with the nearest name", async () => {
    const env = { REDIS_URL: `redis://:right@${host}`, KINDLING_SWEEP_INTERVALL: "5m", KINDLING_ZZZZ: "1" };
    expect(await kindling(["status"], env)).toMatchObject({
      code: 2,
      stderr:
        "error: KINDLING_SWEEP_INTERVALL is not a setting: did you mean KINDLING_SWEEP_INTERVAL?\n" +
        "error: KINDLING_ZZZZ is not a setting: docs/operations.md lists the settings\n",
    });
  });

  it("are read from .env, where variables take precedence, and the command says which", async () => {
    const folder = await mkdtemp(join(tmpdir(), "kindling-env-"));
    try {
      await writeFile(join(folder, "password"), `redis://:right@${host}\n`);
      const lines = ["REDIS_URL_FILE=password", "KINDLING_PREFIX=from-file", "KINDLING_REDIS_TIMEOUT=9s", "OTHER=1"];
      await writeFile(join(folder, ".env"), lines.join("\n"));
      const { ended } = spawnKindling(["status", "--json"], { KINDLING_REDIS_TIMEOUT: "2s" }, folder);
      const { code, stderr, json } = await ended;
      expect({ code, stderr, json }).toMatchObject({
        code: 0,
        stderr: "Settings from .env: KINDLING_PREFIX, REDIS_URL_FILE\n",
        json: { prefix: "from-file" },
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
