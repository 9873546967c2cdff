import type { UserState } from "./user-state.ts";

const KEPT_MS = 3_600_000;
const KEPT_PER_USER = 64;

interface Change {
  readonly at: number;
  readonly before: UserState | undefined;
}

/** Keeps previous states of users for an hour, so that a lagging search can return them. */
export interface History {
  changed(id: string, before: UserState | undefined): void;
  /** Returns the first state replaced after `cutoff` (`performance.now()`), if any. */
  since(id: string, cutoff: number): { before: UserState | undefined } | undefined;
}

export function createHistory(): History {
  const changes = new Map<string, Change[]>();
  return {
    changed: (id, before) => {
      const at = performance.now();
      const kept = (changes.get(id) ?? []).filter((change) => change.at > at - KEPT_MS).slice(1 - KEPT_PER_USER);
      kept.push({ at, before });
      changes.set(id, kept);
    },
    since: (id, cutoff) => changes.get(id)?.find((change) => change.at > cutoff),
  };
}
