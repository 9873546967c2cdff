import type { Redis } from "ioredis";
import { createRedisTokenStore } from "../cache/access-token-store.ts";
import { type CallBudget, createCallBudget } from "../cache/call-budget.ts";
import { type Completeness, createCompleteness } from "../cache/completeness.ts";
import { createKeys, type Keys } from "../cache/keys.ts";
import { createRecords, type Records } from "../cache/records.ts";
import { checkRedis, connectRedis } from "../cache/redis.ts";
import { createSeenUsers, type SeenUsers } from "../cache/seen-users.ts";
import type { Config } from "../config.ts";
import { KindlingError, RedisError } from "../errors.ts";
import { type AccessTokenStore, createMemoryTokenStore } from "../kinde/access-token.ts";
import { errorFields, type Log } from "../log.ts";
import { type AuditLog, createAuditLog } from "../queue/audit-log.ts";
import { createLedger, type Ledger } from "../queue/ledger.ts";
import { createPulse, type PulseStore } from "../queue/pulse.ts";
import { createQueues, type Queues } from "../queue/queues.ts";
import { createSweepLog, type SweepLog } from "../queue/sweep-log.ts";
import type { World } from "./world.ts";

/** Everything that lives in Redis, over one connection; of the access token only where it is the fleet's. */
export interface Store {
  redis: Redis;
  keys: Keys;
  records: Records;
  users: Ledger;
  fanouts: Ledger;
  queues: Queues;
  budget: CallBudget;
  accessToken: AccessTokenStore;
  sweeps: SweepLog;
  seen: SeenUsers;
  audits: AuditLog;
  pulse: PulseStore;
  completeness: Completeness;
  close(): Promise<void>;
}

/**
 * Opens the store.
 *
 * @throws {RedisError} when Redis does not answer, or must not hold it
 */
export async function openStore(config: Config, { now }: World, log: Log): Promise<Store> {
  const onError = (error: unknown) => log.warn(errorFields(error), "redis error");
  const redis = connectRedis({ url: config.redisUrl, timeoutMs: config.redisTimeoutMs, onError });
  const keys = createKeys(config.prefix);
  let queues: Queues;
  try {
    await checkRedis(redis, config.redisTimeoutMs);
    queues = createQueues({ redis, keys, onError });
    await queues.ready();
  } catch (error) {
    redis.disconnect();
    if (error instanceof KindlingError) throw error;
    throw new RedisError("redis_unavailable", "Redis was lost while the queues were opened: try again.", {
      cause: error,
    });
  }
  return {
    redis,
    keys,
    records: createRecords({ redis, keys, tombstoneTtlMs: config.tombstoneTtlMs }),
    users: createLedger(redis, keys, "users", now),
    fanouts: createLedger(redis, keys, "fanouts", now),
    queues,
    sweeps: createSweepLog({ redis, keys }),
    seen: createSeenUsers({ redis, keys }),
    audits: createAuditLog({ redis, keys }),
    pulse: createPulse({ redis, keys, now }),
    completeness: createCompleteness({ redis, keys }),
    budget: createCallBudget({ redis, keys, ...config.calls, leaseMs: config.kindeTimeoutMs + 5_000 }),
    accessToken:
      config.tokenStore === "memory"
        ? createMemoryTokenStore()
        : createRedisTokenStore({ ...config, redis, keys, now, lockMs: config.kindeTimeoutMs + 5_000 }),
    async close() {
      await queues.close();
      redis.disconnect();
    },
  };
}
