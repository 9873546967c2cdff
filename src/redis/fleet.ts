import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { z } from "zod";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import { readClock } from "./ledger-scripts.ts";
import { storedShape } from "./stored.ts";

/** A running process of Kindling. Times in milliseconds since the epoch. */
export interface FleetMember {
  services: readonly string[];
  version: string;
  /** Fingerprint of the definitions that its workers derive flags by; absent without workers. */
  definitions?: string;
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
    definitions: z.string().exactOptional(),
    host: z.string(),
    seenAt: z.number(),
    clockAheadMs: z.number(),
  }),
);

/** Time between two signs of life. */
const heartbeatMs = 30_000;
/** A process that is silent for longer has ended. */
const goneAfterMs = 3 * heartbeatMs;

type FleetOptions = { redis: RedisClient; keys: Pick<Keys, "ledgerPart"> };

/** Lets `kindling doctor` see this process, until it leaves. Failing to is no reason to stop. */
export function joinFleet(
  options: FleetOptions,
  about: Pick<FleetMember, "services" | "version" | "definitions">,
  now: () => number,
): { leave(): Promise<void> } {
  const id = randomUUID();
  const beat = () => noteMember(options, id, { ...about, host: hostname() }, now).catch(() => undefined);
  void beat();
  const timer = setInterval(beat, heartbeatMs);
  return {
    async leave() {
      clearInterval(timer);
      await options.redis.hdel(options.keys.ledgerPart("fleet"), id).catch(() => undefined);
    },
  };
}

/** Notes that a process runs, and forgets those that have ended. */
export async function noteMember(
  { redis, keys }: FleetOptions,
  id: string,
  member: Pick<FleetMember, "services" | "version" | "definitions" | "host">,
  now: () => number,
): Promise<void> {
  const fleetKey = keys.ledgerPart("fleet");
  const seenAt = await redisTime({ redis, keys });
  const gone = Object.entries(await redis.hgetall(fleetKey)).filter(([, text]) => !isAlive(text, seenAt));
  if (gone.length > 0) await redis.hdel(fleetKey, ...gone.map(([field]) => field));
  await redis.hset(fleetKey, id, storedMember.serialize({ ...member, seenAt, clockAheadMs: now() - seenAt }));
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
