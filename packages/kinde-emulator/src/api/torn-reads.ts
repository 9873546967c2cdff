import type { Faults } from "../faults/faults.ts";
import { userOf, type World } from "../kinde/world.ts";
import type { UserState } from "../state/user-state.ts";

type Half = "account" | "properties";

/**
 * Two calls for one user that lie further apart, in milliseconds, belong to two fetches: the second must not be answered
 * with what stood at the first, which would be an answer older than its question.
 */
const usuallyWithinMs = 5;

/** The two calls that make up one user, when a change falls between them. */
export interface TornReads {
  /** The state to answer this half with. */
  read(userId: string, half: Half): UserState;
}

export function createTornReads(world: World, faults: Faults): TornReads {
  const open = new Map<string, { half: Half; before: UserState | undefined; until: number }>();

  return {
    read: (userId, half) => {
      const now = userOf(world, userId);
      const first = open.get(userId);
      open.delete(userId);
      if (first && first.half !== half && performance.now() < first.until) return first.before ?? now;
      const strike = faults.strike("torn_read", { user: userId });
      if (!strike) return now;
      const { answer, change, withinMs = usuallyWithinMs } = strike.fault;
      const until = performance.now() + withinMs;
      open.set(userId, { half, before: answer === "before" ? now : undefined, until });
      if (change) {
        const { properties = {}, ...account } = change;
        const merged = Object.entries({ ...now.properties, ...properties });
        const kept = merged.filter((entry): entry is [string, string] => entry[1] !== null);
        world.users.put({ ...now, ...account, properties: Object.fromEntries(kept) });
      }
      return now;
    },
  };
}
