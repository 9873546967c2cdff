import type { Cluster } from "ioredis";
import { KindlingError } from "kindling";
import { z } from "zod";
import { parseJson } from "../kinde/request.ts";
import { isCluster, primaries, type RedisClient, scanKeys } from "../redis/client.ts";
import { checkRedis } from "../redis/connection.ts";
import { redisTime } from "../redis/fleet.ts";
import type { Keys } from "../redis/keys.ts";
import { readClock } from "../redis/ledger-scripts.ts";
import type { RedisPlace } from "../store.ts";
import { durationWords, percentWords } from "../words.ts";
import { type Check, checksOf } from "./check.ts";

/** Options for {@link checkRedisServer}. */
export interface CheckRedisOptions {
  redis: RedisClient;
  /** URL of the connection, and the setting that has it. */
  place: RedisPlace;
  keys: Keys;
  /** Longest wait for the connection, in milliseconds. */
  timeoutMs: number;
  now: () => number;
  /** Origin of the tenant in the settings. */
  domain: string | undefined;
  /** Replicas that must have an event before it is acknowledged. */
  replicas: number;
}

/** Checks Redis: whether it is reachable and fit for the ledger, persistent, allowed, fast, on time and of this tenant. */
export async function checkRedisServer(options: CheckRedisOptions): Promise<Check[]> {
  const { redis, place, timeoutMs } = options;
  const connection = checksOf("Redis");
  try {
    await checkRedis(redis, { ...place, timeoutMs });
  } catch (error) {
    if (!(error instanceof KindlingError)) throw error;
    return [connection.failed(error.message)];
  }
  const infos = await Promise.all(primaries(redis).map(async (primary) => parseInfo(await primary.info())));
  const versions = [...new Set(infos.map((info) => info.redis_version ?? "unknown"))].join(", ");
  const masters = isCluster(redis) ? `cluster of ${infos.length} masters, ` : "";
  const checks = [
    connection.ok(`${masters}version ${versions}, ${infos[0]?.maxmemory_policy ?? "noeviction"}`),
    ...(isCluster(redis) ? [await checkCluster(redis)] : []),
    ...[checkRole, checkPersistence, checkMemory].map((check) => worst(infos.map(check))),
    ...(options.replicas === 0 ? [] : [worst(infos.map((info) => checkReplicas(info, options.replicas)))]),
  ];
  const permissions = await checkPermissions(options);
  checks.push(permissions);
  if (permissions.status !== "ok") return checks;
  return [...checks, await checkLatency(redis), await checkClock(options), await checkTenant(options)];
}

const severity = ["failed", "warning", "skipped", "ok"] as const;

/** Returns the worst of the same check of several primaries. */
function worst(checks: readonly Check[]): Check {
  const [first] = [...checks].sort((a, b) => severity.indexOf(a.status) - severity.indexOf(b.status));
  return first as Check;
}

const slotCount = 16_384;

async function checkCluster(redis: Cluster): Promise<Check> {
  const { ok, failed } = checksOf("Redis Cluster");
  const { cluster_state: state, cluster_slots_ok: slots = "0" } = parseInfo(await redis.cluster("INFO"));
  return state === "ok" && Number(slots) === slotCount
    ? ok("all hash slots are served")
    : failed(
        `${slots} of ${slotCount} hash slots are served`,
        "Run redis-cli --cluster check, and bring the masters back.",
      );
}

type Info = Readonly<Record<string, string>>;

function parseInfo(text: string): Info {
  return Object.fromEntries([...text.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name, value]) => [name, value]));
}

function checkRole({ role, master_host, master_port }: Info): Check {
  const { ok, failed } = checksOf("Redis role");
  return role === "slave"
    ? failed(`a replica of ${master_host}:${master_port}, which refuses writes`, "Let REDIS_URL name the primary.")
    : ok("primary");
}

function checkPersistence({ aof_enabled, aof_last_write_status, rdb_last_bgsave_status }: Info): Check {
  const { ok, warning, failed } = checksOf("Redis persistence");
  if (aof_enabled === "1") {
    return aof_last_write_status === "err"
      ? failed("the append-only file cannot be written", "Check the disk of Redis, and its log.")
      : ok("append-only file");
  }
  const broken = rdb_last_bgsave_status === "err" ? ", and the last snapshot failed" : "";
  return warning(
    `no append-only file${broken}: a crash loses acknowledged events`,
    "Run CONFIG SET appendonly yes and set it in redis.conf too. docs/redis.md has the details.",
  );
}

function checkReplicas({ connected_slaves = "0" }: Info, required: number): Check {
  const { ok, failed } = checksOf("Redis replicas");
  if (Number(connected_slaves) >= required) return ok(`${connected_slaves} connected, ${required} required`);
  return failed(
    `${connected_slaves} connected, ${required} required: events and writes are refused`,
    "Bring the replicas back, or lower KINDLING_REDIS_REPLICAS.",
  );
}

const fullShare = 0.9;

function checkMemory({ maxmemory = "0", used_memory = "0" }: Info): Check {
  const { ok, warning } = checksOf("Redis memory");
  const share = Number(maxmemory) === 0 ? 0 : Number(used_memory) / Number(maxmemory);
  if (share < fullShare) return ok(Number(maxmemory) === 0 ? "no limit" : `${percentWords(share)} of the limit`);
  return warning(
    `${percentWords(share)} of maxmemory is used; at the limit Redis refuses events`,
    "Raise maxmemory. docs/sizing.md says what a user takes.",
  );
}

const remedies: Readonly<Record<string, string>> = {
  NOPERM: "Use the ACL rules of docs/security.md for Kindling's Redis user.",
  OOM: "Raise maxmemory. docs/sizing.md says what a user takes.",
  MISCONF: "Redis cannot save to its disk: make room, and see its log.",
  NOREPLICAS: "Bring the replicas back, or lower min-replicas-to-write in redis.conf.",
  READONLY: "Let REDIS_URL name the primary.",
};

/** One command of each kind that Kindling needs, on keys of its own. */
async function checkPermissions({ redis, keys, replicas }: CheckRedisOptions): Promise<Check> {
  const { ok, failed } = checksOf("Redis permissions");
  const probe = keys.ledgerPart("doctor");
  const attempts: (readonly [string, () => Promise<unknown>])[] = [
    ["SET", () => redis.set(probe, "1", "PX", 1_000)],
    ["GET", () => redis.get(keys.flags("kp_0"))],
    ["MGET", () => redis.mget(keys.profile("kp_0"))],
    ["EVAL", () => redis.eval("return redis.call('GET', KEYS[1])", 1, probe)],
    ["SCAN", () => scanKeys(redis, "0", { count: 1 })],
    ["PUBLISH", () => redis.publish(keys.commits("kp_0"), "0")],
    ["XLEN", () => redis.xlen(`${keys.queues}:refresh:events`)],
    ["TIME", () => readClock(redis, { key: probe })],
    ["UNLINK", () => redis.unlink(probe)],
    // Waits for no replica.
    ...(replicas > 0 ? [["WAIT", () => Promise.all(primaries(redis).map((each) => each.wait(0, 1)))] as const] : []),
  ];
  for (const [command, attempt] of attempts) {
    try {
      await attempt();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return failed(
        `${command} is refused: ${reason}`,
        remedies[/^\w+/.exec(reason)?.[0] ?? ""] ?? "See the log of Redis.",
      );
    }
  }
  return ok("every kind of command is allowed");
}

const slowMs = 20;

async function checkLatency(redis: RedisClient): Promise<Check> {
  const { ok, warning } = checksOf("Redis latency");
  const times: number[] = [];
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const started = performance.now();
    await redis.ping();
    times.push(performance.now() - started);
  }
  const median = times.sort((a, b) => a - b)[2] ?? 0;
  const words = `${median.toFixed(1)} ms a command`;
  return median < slowMs
    ? ok(words)
    : warning(`${words}: each event takes several`, "Run Kindling and Redis in the same region and network.");
}

const skewMs = { warning: 2_000, failed: 60_000 };

async function checkClock({ redis, keys, now }: CheckRedisOptions): Promise<Check> {
  const before = now();
  const theirs = await redisTime({ redis, keys });
  return clockCheck("Redis clock", theirs - (before + now()) / 2);
}

/** Judges how far another clock is ahead of this one, in milliseconds. */
export function clockCheck(name: string, aheadMs: number): Check {
  const { ok, warning, failed } = checksOf(name);
  const off = Math.abs(aheadMs);
  const words = `${durationWords(off)} ${aheadMs > 0 ? "ahead of" : "behind"} this machine`;
  const remedy = "Synchronize the clocks of all machines (NTP).";
  if (off >= skewMs.failed) return failed(`${words}: ages and expiry are wrong`, remedy);
  return off >= skewMs.warning ? warning(words, remedy) : ok(`within ${durationWords(skewMs.warning)} of this machine`);
}

const tenant = z.looseObject({ domain: z.string() });

async function checkTenant({ redis, keys, domain }: CheckRedisOptions): Promise<Check> {
  const { ok, failed } = checksOf("Tenant");
  const bound = tenant.safeParse(parseJson((await redis.get(keys.tenant)) ?? "")).data?.domain;
  if (bound === undefined) return ok(`the prefix ${keys.prefix} is not in use yet`);
  if (domain === undefined || bound === domain) return ok(`the prefix ${keys.prefix} belongs to ${bound}`);
  return failed(
    `the prefix ${keys.prefix} belongs to ${bound}, but KINDE_DOMAIN is ${domain}`,
    "Correct KINDE_DOMAIN or KINDLING_PREFIX. docs/multiple-tenants.md has the details.",
  );
}
