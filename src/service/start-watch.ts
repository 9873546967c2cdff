import type { Config } from "../config.ts";
import { errorFields, type Log } from "../log.ts";
import type { FleetSetting } from "../redis/fleet-setting.ts";
import { createTickSchedule } from "../redis/tick-schedule.ts";
import { watchLedger } from "../refresh/watch-ledger.ts";
import { sampleHistory } from "../status/sample-history.ts";
import type { Store } from "../store.ts";
import type { SweepPace } from "../sweep/pace.ts";
import { scheduleRecentChecks, scheduleSweeps, scheduleWalks } from "../sweep/schedule.ts";
import type { Running, World } from "../world.ts";

/** Delays of retries and of bursts are measured by the clocks of processes: these may differ as much, in milliseconds. */
const mostSkewMs = 5_000;
/** Absent users looked at again in one round. */
const absencesPerRound = 500;

/** Dependencies of {@link startWatch}. */
export interface WatchOptions {
  config: Config;
  world: World;
  log: Log;
  store: Store;
  pace: FleetSetting<SweepPace>;
}

/** Starts the periodic checks: of the ledgers, absent users, the schedules, and the time since the last event. */
export function startWatch({ config, world: { now }, log, store, pace }: WatchOptions): Running {
  const { watchIntervalMs: intervalMs, failedRetryMs } = config;
  const ledger = async () => {
    const { redis, keys, queues, ledger: users, fanoutLedger } = store;
    const retryMs = config.retry.maxMs;
    const enqueued = await watchLedger({
      redis,
      keys,
      queues,
      ledger: users,
      fanoutLedger,
      now,
      intervalMs,
      retryMs,
      failedRetryMs,
    });
    if (enqueued > 0) log.warn({ enqueued }, "enqueued ledger members without a job");
  };
  const pulse = async () => {
    const { silence, say } = await store.pulse.look();
    if (say) log.warn({ ...silence }, "no events for longer than usual: run kindling status");
  };
  let clocksDiffer = false;
  const clocks = async () => {
    const aheadMs = Math.round(now() - (await store.ledger.clock()));
    const differ = Math.abs(aheadMs) > mostSkewMs;
    if (differ && !clocksDiffer) log.warn({ aheadMs }, "this machine's clock differs from Redis': synchronize both");
    clocksDiffer = differ;
  };
  const auditTicks = createTickSchedule({
    ...store,
    queue: store.queues.audit,
    intervalMs: config.audit.intervalMs,
    onOther: (fleetMs) =>
      log.warn(
        { setting: "KINDLING_AUDIT_INTERVAL", intervalMs: config.audit.intervalMs, fleetMs },
        "another worker started later with another interval: it applies to all",
      ),
  });
  // Independent of each other: one that fails must not prevent the others.
  const checks = {
    ledger,
    absences: async () =>
      store.queues.enqueueReprocess(await store.absences.takeDue(absencesPerRound), "bulk", "absence"),
    settled: async () => {
      const reopened = (await store.settled?.look()) ?? 0;
      if (reopened > 0)
        log.warn({ reopened }, "another Redis serves the records: its latest users are refreshed again");
    },
    changes: () => store.records.relayLeftChanges(),
    lifetimes: () => store.queues.cutLifetimes(),
    sweeps: () => scheduleSweeps({ ...store, pace, now }),
    walks: () => scheduleWalks({ ...store, pace }),
    recent: () =>
      scheduleRecentChecks({
        ...store,
        pace,
        perMinute: config.calls.perMinute,
        pageSize: config.sweep.pageSize,
        recent: config.recent,
      }),
    audits: () => auditTicks.keep(),
    pulse,
    clocks,
    history: () => sampleHistory(store, config, now()),
  };
  const checkAll = () =>
    Promise.all(
      Object.entries<() => Promise<unknown>>(checks).map(([check, run]) =>
        run().catch((error: unknown) => log.warn({ check, ...errorFields(error) }, "periodic check failed")),
      ),
    );
  let current: Promise<unknown> | undefined;
  // Does not wait for the previous round, which could hang forever.
  const watch = () => {
    current = checkAll();
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
