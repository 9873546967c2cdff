import type { Redis } from "ioredis";

/** Redis as scripts see it: its clock, in milliseconds since the epoch, and the process that has the data. */
export interface RedisWorld {
  now: number;
  runId: string;
}

/**
 * Returns a client whose scripts and `TIME` see the clock and the run id of `world`, which can step in both directions.
 * Everything else is the real Redis.
 */
export function withRedisWorld(redis: Redis, world: RedisWorld): Redis {
  const time = () => [String(Math.floor(world.now / 1000)), String((world.now % 1000) * 1000)] as const;
  return Object.assign(Object.create(redis) as Redis, {
    evalsha: () => Promise.reject(new Error("NOSCRIPT No matching script.")),
    eval: (source: string, keys: number, ...rest: string[]) =>
      redis.eval(
        source
          .replaceAll("redis.call('TIME')", `{ '${time().join("', '")}' }`)
          .replaceAll("redis.call('INFO', 'server')", `'run_id:${world.runId}'`),
        keys,
        ...rest,
      ),
    time: async () => [...time()],
  });
}
