import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { RedisError } from "../errors.ts";
import {
  type EmbeddedRedis,
  findRedisServer,
  type RedisServerOptions,
  startRedisServer,
} from "../testing/redis-server.ts";

export type { EmbeddedRedis } from "../testing/redis-server.ts";

/** Options for {@link startEmbeddedRedis}. */
export interface EmbeddedRedisOptions extends Omit<RedisServerOptions, "binary"> {
  /** Receives a line before Redis is installed or built. */
  say?: (line: string) => void;
}

/**
 * Starts a Redis server from `PATH`. If there is none, installs it from Debian's or Ubuntu's packages (as root) or builds it
 * with redis-memory-server.
 */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions = {}): Promise<EmbeddedRedis> {
  const { say = () => undefined, ...server } = options;
  return startRedisServer({ ...server, binary: await redisBinary(say) });
}

async function redisBinary(say: (line: string) => void): Promise<string> {
  const found = findRedisServer();
  if (found !== undefined) return found;
  if (canInstallFromApt()) {
    say("Redis is not installed: installing redis-server with apt-get …");
    await installFromApt("redis-server");
    const installed = findRedisServer();
    if (installed !== undefined) return installed;
  }
  say("Redis is not installed: building it with redis-memory-server (needs make and a C compiler) …");
  return buildWithMemoryServer();
}

/** Returns whether this process can install packages of Debian or Ubuntu. */
export function canInstallFromApt(): boolean {
  return process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
}

/** Installs packages, and waits for another process that is installing some. Failures show in what is missing then. */
export async function installFromApt(...packages: string[]): Promise<void> {
  const run = async (...args: string[]) => {
    const child = spawn("apt-get", ["-qq", "-o", "DPkg::Lock::Timeout=300", ...args], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    const [code] = await once(child, "exit");
    return code === 0;
  };
  const install = () => run("install", "-y", "--no-install-recommends", ...packages);
  if (await install()) return;
  await run("update");
  await install();
}

async function buildWithMemoryServer(): Promise<string> {
  try {
    const { default: library } = await import("redis-memory-server/lib/util/RedisBinary.js");
    return await library.default.getPath();
  } catch (cause) {
    throw new RedisError(
      "redis_unavailable",
      "Redis could not be installed: install redis-server or valkey-server, or set REDIS_URL to a running one.",
      { cause },
    );
  }
}
