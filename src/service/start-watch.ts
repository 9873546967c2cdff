import type { Config } from "../config.ts";
import { errorFields, type Log } from "../log.ts";
import { scheduleTick } from "../redis/queue.ts";
import { watchLedger } from "../refresh/watch-ledger.ts";
import type { Store } from "../store.ts";
import { scheduleSweeps } from "../sweep/schedule.ts";
import type { Running, World } from "../world.ts";

/** Looks after the ledger, the schedules and the pulse, now and at each interval. */
export function startWatch(config: Config, { now }: World, log: Log, store: Store): Running {
  const { watchIntervalMs: intervalMs, failedRetryMs } = config;
  const ledger = async () => {
    const enqueued = await watchLedger({ ...store, now, intervalMs, retryMs: config.retry.maxMs, failedRetryMs });
    if (enqueued > 0) log.warn({ enqueued }, "the ledger held users without a job");
  };
  const pulse = async () => {
    const { silence, say } = await store.pulse.look();
    if (say) log.warn({ ...silence }, "no event for longer than usual: see kindling status");
  };
  // Each for itself: trouble with one must not keep the others from being looked after.
  const looks = {
    ledger,
    sweeps: () => scheduleSweeps({ ...store, intervalMs: config.sweep.intervalMs, now }),
    audits: () => scheduleTick(store.queues.audit, config.audit.intervalMs),
    pulse,
  };
  const look = () =>
    Promise.all(
      Object.entries(looks).map(([what, task]) =>
        task().catch((error: unknown) => log.warn({ what, ...errorFields(error) }, "could not be watched")),
      ),
    );
  let current: Promise<unknown> | undefined;
  // Whether or not the one before has come to its end: one that hangs must not be the last.
  const watch = () => {
    current = look();
  };
  watch();
  const timer = setInterval(watch, intervalMs);
  return {
    async close() {
      clearInterval(timer);
      await current;
    },
  };
}
