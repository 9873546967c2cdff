import type { Redis } from "ioredis";

/** Removes all but the queues' settings, which a running queue takes for granted. */
export async function empty(redis: Redis): Promise<void> {
  const keys = await redis.keys("*");
  const settings = /:meta$/;
  const gone = keys.filter((key) => !settings.test(key));
  for (let at = 0; at < gone.length; at += 5_000) await redis.unlink(gone.slice(at, at + 5_000));
}

/** A figure of `INFO`. */
export async function info(redis: Redis, name: string): Promise<number> {
  return Number(new RegExp(`^${name}:([\\d.]+)`, "m").exec(await redis.info())?.[1]);
}

/** Processor time Redis has used, in microseconds. */
export async function redisCpu(redis: Redis): Promise<number> {
  const [user, system] = await Promise.all([info(redis, "used_cpu_user"), info(redis, "used_cpu_sys")]);
  return (user + system) * 1e6;
}
