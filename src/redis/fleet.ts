import { z } from "zod";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import { readClock } from "./ledger-scripts.ts";
import { storedShape } from "./stored.ts";

/** A running process of Kindling. Times in milliseconds since the epoch. */
export interface FleetMember {
  services: readonly string[];
  version: string;
  host: string;
  /** When Redis last heard of it, by Redis' clock. */
  seenAt: number;
  /** How far its own clock was ahead of Redis' clock, in milliseconds. */
  clockAheadMs: number;
}

const storedMember = storedShape<FleetMember>(
  1,
  z.object({
    services: z.array(z.string()),
    version: z.string(),
    host: z.string(),
    seenAt: z.number(),
    clockAheadMs: z.number(),
  }),
);

/** Time between two signs of life. */
export const heartbeatMs = 30_000;
/** A process that is silent for longer has ended. */
const goneAfterMs = 3 * heartbeatMs;

type FleetOptions = { redis: RedisClient; keys: Pick<Keys, "ledgerPart"> };

/** Notes that a process runs, and forgets those that have ended. */
export async function noteMember(
  { redis, keys }: FleetOptions,
  id: string,
  member: Pick<FleetMember, "services" | "version" | "host">,
  now: () => number,
): Promise<void> {
  const fleetKey = keys.ledgerPart("fleet");
  const seenAt = await redisTime({ redis, keys });
  const gone = Object.entries(await redis.hgetall(fleetKey)).filter(([, text]) => !isAlive(text, seenAt));
  if (gone.length > 0) await redis.hdel(fleetKey, ...gone.map(([field]) => field));
  await redis.hset(fleetKey, id, storedMember.serialize({ ...member, seenAt, clockAheadMs: now() - seenAt }));
}

/** Forgets a process that ends. */
export async function forgetMember({ redis, keys }: FleetOptions, id: string): Promise<void> {
  await redis.hdel(keys.ledgerPart("fleet"), id);
}

/** Returns the running processes. */
export async function readFleet({ redis, keys }: FleetOptions): Promise<FleetMember[]> {
  const [now, fields] = await Promise.all([redisTime({ redis, keys }), redis.hgetall(keys.ledgerPart("fleet"))]);
  return Object.values(fields).flatMap((text) => (isAlive(text, now) ? (storedMember.parse(text) ?? []) : []));
}

/** Returns the time of the Redis that has the ledger, in milliseconds since the epoch: the clock of all processes. */
export async function redisTime({ redis, keys }: FleetOptions): Promise<number> {
  return Math.floor((await readClock(redis, { key: keys.ledgerPart("fleet") })) / 1000);
}

function isAlive(text: string, now: number): boolean {
  const member = storedMember.parse(text);
  return member !== undefined && now - member.seenAt < goneAfterMs;
}
