import { z } from "zod";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import { storedShape } from "./stored.ts";

/** Something that an operator did in the dashboard. */
export interface Action {
  /** Milliseconds since the epoch. */
  at: number;
  /** Name of the token, or Kinde's id of the user. */
  operator: string;
  /** What was done, without values: `set plan_tier`. */
  action: string;
  /** The user, queue or webhook it was done to; empty for none. */
  subject: string;
  /** `done`, or the code of the error. */
  outcome: string;
}

/** What operators did, for those who ask later. */
export interface ActionLog {
  note(action: Action): Promise<void>;
  /** Returns the latest actions, latest first. */
  latest(count: number): Promise<Action[]>;
}

const actionsKept = 10_000;

const storedAction = storedShape<Action>(
  1,
  z.object({ at: z.number(), operator: z.string(), action: z.string(), subject: z.string(), outcome: z.string() }),
);

/** Opens the log of actions, which keeps the last 10,000. */
export function createActionLog({ redis, keys }: { redis: RedisClient; keys: Pick<Keys, "dashboard"> }): ActionLog {
  const key = keys.dashboard("actions");
  return {
    async note(action) {
      await redis.xadd(key, "MAXLEN", "~", actionsKept, "*", "a", storedAction.serialize(action));
    },
    async latest(count) {
      const entries = await redis.xrevrange(key, "+", "-", "COUNT", count);
      return entries.flatMap(([, [, text]]) => storedAction.parse(text) ?? []);
    },
  };
}
