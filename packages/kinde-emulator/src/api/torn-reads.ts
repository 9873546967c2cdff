import type { Faults } from "../faults/faults.ts";
import { missing, userOf, type World } from "../kinde/world.ts";
import type { UserState } from "../state/user-state.ts";

type Half = "account" | "properties";

/** Calls further apart are separate reads: answering the second from the first's state would be stale, not torn. */
const DEFAULT_WITHIN_MS = 5;

/** Applies `user_lag` and `torn_read` faults to the two calls that read one user. */
export interface TornReads {
  /** Returns the state to answer this call with. */
  read(userId: string, half: Half): UserState;
}

export function createTornReads(world: World, faults: Faults): TornReads {
  const open = new Map<string, { half: Half; before: UserState | undefined; until: number }>();

  return {
    read: (userId, half) => {
      const lag = faults.strike("user_lag", { user: userId })?.fault.ms;
      if (lag !== undefined) return world.users.at(userId, performance.now() - lag) ?? missing("user", userId);
      const now = userOf(world, userId);
      const first = open.get(userId);
      open.delete(userId);
      if (first && first.half !== half && performance.now() < first.until) return first.before ?? now;
      const strike = faults.strike("torn_read", { user: userId });
      if (!strike) return now;
      const { answer, change, withinMs = DEFAULT_WITHIN_MS } = strike.fault;
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
