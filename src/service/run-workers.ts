import { startWorkers } from "../../workers/start-workers.ts";
import type { Config } from "../config.ts";
import { loadDefinitions } from "../load-definitions.ts";
import { errorFields, type Log } from "../log.ts";
import { relayChanges } from "../push/relay-changes.ts";
import { connectRedis } from "../redis/connection.ts";
import { describeLoss, readDurability } from "../redis/durability.ts";
import { createRefreshRequests } from "../redis/refresh-requests.ts";
import { createAcknowledgeUsers } from "../refresh/acknowledge-users.ts";
import { drainConfirmations } from "../refresh/drain-confirmations.ts";
import { drainRefreshRequests } from "../refresh/drain-refresh-requests.ts";
import type { Store } from "../store.ts";
import { createSweepPace } from "../sweep/pace.ts";
import type { Running, World } from "../world.ts";
import { createFlows, type Flows } from "./create-flows.ts";
import { startWatch } from "./start-watch.ts";

/** Dependencies of {@link startServiceWorkers}. */
export interface ServiceWorkersOptions {
  config: Config;
  world: World;
  log: Log;
  store: Store;
  flows: Flows;
}

/** Starts the workers, the periodic checks and the drain of refresh requests. */
export function startServiceWorkers({ config, world, log, store, flows }: ServiceWorkersOptions): Running {
  const onError = (error: unknown) => log.warn(errorFields(error), "Redis error");
  // BullMQ's workers need a connection whose commands wait while Redis is down.
  const connection = connectRedis({ url: config.internalRedisUrl, onError });
  const { queues, keys, ledger, fanoutLedger, records, sweeps, seen, listed, indexLag, completeness, audits } = store;
  const pace = createSweepPace({
    ...store,
    own: { intervalMs: config.sweep.intervalMs, share: config.sweep.share },
    onOther: (fleet) =>
      log.warn(
        { settings: "KINDLING_SWEEP_INTERVAL, KINDLING_SWEEP_SHARE", ...fleet },
        "another worker started later with another pace of sweeps: it applies to all",
      ),
  });
  const workers = startWorkers({
    connection,
    prefix: keys.queues,
    retry: config.retry,
    concurrency: config.concurrency,
    now: world.now,
    log,
    queues,
    ledger,
    fanoutLedger,
    records,
    sweeps,
    seen,
    listed,
    indexLag,
    pace,
    perMinute: config.calls.perMinute,
    pageSize: config.sweep.pageSize,
    completeness,
    audits,
    acknowledge: createAcknowledgeUsers({ redis: store.redis, keys, queues }),
    refreshUser: flows.refreshUser,
    fanOut: flows.fanOut,
    sweepStep: flows.sweepStep,
    walks: flows.walks,
    readAged: flows.readAged,
    recentChecks: flows.recentChecks,
    recentUsers: store.recentUsers,
    recent: config.recent,
    delays: store.delays,
    auditUser: flows.auditUser,
    drawSample: flows.drawSample,
    checkWebhook: flows.checkWebhook,
    push: { fetch: world.fetch, timeoutMs: config.push.timeoutMs },
    paceMs: config.sweep.paceMs,
    backlog: config.sweep.backlog,
    settleMs: config.writeSettleMs,
  });
  void warnOfLoss(config, log, store);
  const watch = startWatch({ config, world, log, store, pace });
  const blocking = connectRedis({ url: config.redisUrl, onError });
  const { publicRedis, droppedRefreshRequests: dropped } = store;
  const requests = createRefreshRequests({ redis: publicRedis, blocking, keys, dropped, onError });
  const confirmations = drainConfirmations({
    redis: store.redis,
    ledger,
    queues,
    settleMs: config.writeSettleMs,
    onError,
  });
  const drain = drainRefreshRequests({
    requests,
    queues,
    absences: store.absences,
    noteRead: store.recentUsers.note,
    onError,
  });
  const relays = queues.pushes.map((push) =>
    relayChanges({
      redis: connectRedis({ url: config.redisUrl, onError }),
      keys,
      push,
      changesKept: config.changesKept,
      onError,
      onLoss: () =>
        log.error(
          { host: new URL(push.endpoint.url).host },
          "changes left the stream before they were sent: raise KINDLING_CHANGES_LENGTH",
        ),
    }),
  );
  return {
    async close() {
      // Less than the shutdown timeout, because aborted jobs must still be returned to their queues within it.
      await Promise.all([
        watch.close(),
        drain.close(),
        confirmations.close(),
        ...relays.map((relay) => relay.close()),
        workers.close(config.shutdownTimeoutMs * 0.8),
      ]);
      connection.disconnect();
    },
  };
}

async function warnOfLoss({ redisReplicas }: Config, log: Log, { publicRedis, redis }: Store): Promise<void> {
  try {
    const loss = describeLoss(await readDurability(...new Set([publicRedis, redis])), redisReplicas);
    if (loss !== undefined) log.warn({ loss }, "Redis can lose acknowledged events");
  } catch (error) {
    log.warn(errorFields(error), "Redis does not say what it keeps");
  }
}

/** Loads the flags file and starts the workers. `schema` is the fingerprint of its definitions. */
export async function runWorkers(
  config: Config,
  world: World,
  log: Log,
  store: Store,
): Promise<Running & { schema: string }> {
  const definitions = await loadDefinitions(config.flagsFile);
  const flows = createFlows({ config, world, store, definitions });
  const workers = startServiceWorkers({ config, world, log, store, flows });
  log.info({ ...config.concurrency, flags: Object.keys(definitions.flags) }, "workers started");
  return { ...workers, schema: definitions.schema };
}
