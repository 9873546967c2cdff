import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { Redis } from "ioredis";
import { RedisError } from "../errors.ts";

/** A Redis server on a private port with its own folder. It ends with this process. */
export interface EmbeddedRedis {
  url: string;
  /** Stops the server like a crash, without saving. */
  kill(): Promise<void>;
  /** Starts the server again on the same port with the data in its folder. */
  start(): Promise<void>;
  /** Stops the server and removes its folder. */
  close(): Promise<void>;
}

/** Options for {@link startRedisServer}. */
export interface RedisServerOptions {
  /** Path of `redis-server` or `valkey-server`. */
  binary: string;
  /** Default: a free one. */
  port?: number;
  /** Sync every write to disk before answering. Default false: in memory. */
  durable?: boolean;
  /** Further arguments of the server. */
  args?: readonly string[];
}

/** Starts a Redis server on a free port of 127.0.0.1. */
export async function startRedisServer({
  binary,
  port: wanted,
  durable = false,
  args = [],
}: RedisServerOptions): Promise<EmbeddedRedis> {
  const folder = await mkdtemp(join(tmpdir(), "kindling-redis-"));
  const port = wanted ?? (await freePort());
  const url = `redis://127.0.0.1:${port}`;
  const settings = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--loglevel", "warning"];
  const persistence = durable ? ["--appendonly", "yes", "--appendfsync", "always"] : ["--appendonly", "no"];
  let child: ChildProcess | undefined;

  const embedded: EmbeddedRedis = {
    url,
    async start() {
      child = spawnGuarded(
        binary,
        [...settings, ...persistence, "--maxmemory-policy", "noeviction", ...args].map(String),
      );
      await untilReady(url, child);
    },
    async kill() {
      const running = child;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      const exited = new Promise((resolve) => running.once("exit", resolve));
      running.stdin?.end();
      await exited;
    },
    async close() {
      await embedded.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
  await embedded.start();
  return embedded;
}

/** Returns the path of a Redis or Valkey server on `PATH`. */
export function findRedisServer(): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = ["redis-server", "valkey-server"].flatMap((name) => folders.map((folder) => join(folder, name)));
  return candidates.find((path) => existsSync(path));
}

// A shell kills the server when its input closes, so the server ends with this process even after SIGKILL. It has its own
// process group, so that Ctrl-C does not stop it while Kindling still finishes running work.
export function spawnGuarded(binary: string, args: readonly string[]): ChildProcess {
  const script = '"$@" & server=$!; read -r _ignored; kill -9 $server; wait $server';
  return spawn("sh", ["-c", script, "sh", binary, ...args], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  const redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  redis.on("error", () => undefined);
  try {
    await Promise.race([
      redis.ping(),
      new Promise((_, reject) => {
        const fail = (reason: string) => () => reject(new RedisError("redis_unavailable", reason));
        child.once("exit", fail("The embedded Redis exited on start: run redis-server to see why, or set REDIS_URL."));
        setTimeout(
          fail(`The embedded Redis at ${url} does not answer within 10 s: try again, or set REDIS_URL.`),
          10_000,
        ).unref();
      }),
    ]);
  } finally {
    redis.disconnect();
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
