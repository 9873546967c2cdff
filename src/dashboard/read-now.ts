import { type RedisMemory, readMemory } from "../redis/memory.ts";
import { listFailures } from "../refresh/failures.ts";
import { countRecords } from "../status/count-records.ts";
import { type Figures, readFigures, type Status, type StatusSettings } from "../status/read-status.ts";
import type { Store } from "../store.ts";

/** What the page shows of the deployment. */
export interface Now extends Figures, Pick<Status, "lastFailures"> {
  memory: RedisMemory;
  /** Milliseconds since the epoch. */
  at: number;
}

const failuresShown = 5;
/** How long the figures that take many round trips are kept, in milliseconds. */
const slowMs = 15_000;

/** Creates the function that reads the figures. It can be called every second: what is slow to read is kept for a while. */
export function createReadNow(store: Store, settings: StatusSettings, now: () => number): () => Promise<Now> {
  const records = kept(() => countRecords(store.redis, store.keys), now);
  const failures = kept(async () => (await listFailures(store)).slice(0, failuresShown), now);
  return async () => {
    const [figures, lastFailures, memory] = await Promise.all([
      readFigures(store, settings, now(), records),
      failures(),
      readMemory(...new Set([store.publicRedis, store.redis])),
    ]);
    return { ...figures, lastFailures, memory, at: now() };
  };
}

/** Keeps what a function returns. A failure is not kept. */
function kept<T>(read: () => Promise<T>, now: () => number): () => Promise<T> {
  let held: { at: number; value: Promise<T> } | undefined;
  return () => {
    if (held === undefined || now() - held.at > slowMs) {
      const value = read();
      held = { at: now(), value };
      value.catch(() => {
        held = undefined;
      });
    }
    return held.value;
  };
}
