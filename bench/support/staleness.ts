import type { Store } from "../../src/store.ts";

/** A change in Kinde that a record does not show yet. */
export interface Change {
  kind: string;
  userId: string;
  /** Returns whether a record with these flags shows it; `undefined` without a record. */
  shows: (flags: Readonly<Record<string, unknown>> | undefined, status: string | undefined) => boolean;
}

/** Measures from changes in Kinde to the records that show them. */
export interface Staleness {
  changed(change: Change): void;
  /** Changes that no record shows yet. */
  open(): number;
  /** Milliseconds by kind of change. */
  times: ReadonlyMap<string, number[]>;
  close(): Promise<void>;
}

const pollMs = 50;

/** Starts measuring, by reading records as an app server would. A later change of the same kind to a user replaces one. */
export function measureStaleness({ redis, keys }: Pick<Store, "redis" | "keys">): Staleness {
  const waiting = new Map<string, Change & { at: number }>();
  const times = new Map<string, number[]>();
  let closed = false;
  const poll = async () => {
    while (!closed) {
      const open = [...waiting];
      if (open.length > 0) {
        const texts = await redis.mget(open.map(([, { userId }]) => keys.flags(userId)));
        const now = performance.now();
        open.forEach(([id, change], index) => {
          const record = JSON.parse(texts[index] ?? "null") as {
            flags: Record<string, unknown>;
            status: string;
          } | null;
          if (!change.shows(record?.flags, record?.status)) return;
          times.set(change.kind, [...(times.get(change.kind) ?? []), now - change.at]);
          if (waiting.get(id) === change) waiting.delete(id);
        });
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  };
  const polling = poll();
  return {
    changed(change) {
      waiting.set(`${change.kind} ${change.userId}`, { ...change, at: performance.now() });
    },
    open: () => waiting.size,
    times,
    async close() {
      closed = true;
      await polling;
    },
  };
}

/** Share of the times within a bound, from 0 to 1. */
export function shareWithin(times: readonly number[], ms: number): number {
  return times.length === 0 ? 1 : times.filter((time) => time <= ms).length / times.length;
}
