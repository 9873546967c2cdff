import type { UserState } from "./user-state.ts";

const KEPT_MS = 3_600_000;
const KEPT_PER_USER = 64;

interface Change {
  readonly at: number;
  readonly before: UserState | undefined;
}

/** Remembers for an hour what users were before each change, so that a lagging index can show it. */
export interface History {
  changed(id: string, before: UserState | undefined): void;
  /** The first state overwritten since `cutoff` (monotonic ms), if any was. */
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
