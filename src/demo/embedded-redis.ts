import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { Redis } from "ioredis";
import { RedisError } from "../errors.ts";

/** A Redis of our own: private port, own folder, gone with the process. */
export interface EmbeddedRedis {
  url: string;
  /** Stops it as a crash would: nothing is saved beyond what already is. */
  kill(): Promise<void>;
  /** Starts it again on the same port, with what its folder holds. */
  start(): Promise<void>;
  /** Stops it and removes its folder. */
  close(): Promise<void>;
}

/** How the embedded Redis keeps its data, and who hears what is being installed. */
export interface EmbeddedRedisOptions {
  /** Write every command to disk before answering, as production should. Default false: in memory. */
  durable?: boolean;
  say?: (line: string) => void;
}

/** Starts a Redis: from PATH, else from Debian's or Ubuntu's packages as root, else built by redis-memory-server. */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions = {}): Promise<EmbeddedRedis> {
  const { durable = false, say = () => undefined } = options;
  const binary = await redisBinary(say);
  const folder = await mkdtemp(join(tmpdir(), "kindling-redis-"));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const settings = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--loglevel", "warning"];
  const persistence = durable ? ["--appendonly", "yes", "--appendfsync", "always"] : ["--appendonly", "no"];
  let child: ChildProcess | undefined;

  const embedded: EmbeddedRedis = {
    url,
    async start() {
      child = spawnGuarded(binary, [...settings, ...persistence, "--maxmemory-policy", "noeviction"].map(String));
      await answers(url, child);
    },
    async kill() {
      const running = child;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      const gone = new Promise((resolve) => running.once("exit", resolve));
      running.stdin?.end();
      await gone;
    },
    async close() {
      await embedded.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await embedded.start();
  return embedded;
}

// Runs the server under a shell that waits for the end of its input: it ends when this process does, even by SIGKILL.
// In a process group of its own: Ctrl-C must not take it away from under those who still finish what is in hand.
function spawnGuarded(binary: string, args: readonly string[]): ChildProcess {
  const script = '"$@" & server=$!; read -r _ignored; kill -9 $server; wait $server';
  return spawn("sh", ["-c", script, "sh", binary, ...args], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  const redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  redis.on("error", () => undefined);
  try {
    await Promise.race([
      redis.ping(),
      new Promise((_, reject) => {
        const give = (reason: string) => () => reject(new RedisError("redis_unavailable", reason));
        child.once("exit", give("The embedded Redis ended at its start."));
        setTimeout(give("The embedded Redis does not answer within 10 s."), 10_000).unref();
      }),
    ]);
  } finally {
    redis.disconnect();
  }
}

async function redisBinary(say: (line: string) => void): Promise<string> {
  const found = onPath();
  if (found !== undefined) return found;
  if (process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
    say("No Redis here: installing Debian's redis-server with apt-get …");
    installFromApt();
    const installed = onPath();
    if (installed !== undefined) return installed;
  }
  say("No Redis here: building one with redis-memory-server (needs make and a C compiler) …");
  return buildWithMemoryServer();
}

function onPath(): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = ["redis-server", "valkey-server"].flatMap((name) => folders.map((folder) => join(folder, name)));
  return candidates.find((path) => existsSync(path));
}

function installFromApt(): void {
  const run = (...args: string[]) =>
    spawnSync("apt-get", ["-qq", ...args], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
  if (run("install", "-y", "--no-install-recommends", "redis-server").status === 0) return;
  run("update");
  run("install", "-y", "--no-install-recommends", "redis-server");
}

async function buildWithMemoryServer(): Promise<string> {
  try {
    const { default: library } = await import("redis-memory-server/lib/util/RedisBinary.js");
    return await library.default.getPath();
  } catch (cause) {
    throw new RedisError(
      "redis_unavailable",
      "No Redis can be had: install redis-server or valkey-server, or set REDIS_URL to one that runs.",
      { cause },
    );
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
