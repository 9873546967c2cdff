import { startWorkers } from "../../workers/start-workers.ts";
import type { Config } from "../config.ts";
import { loadDefinitions } from "../load-definitions.ts";
import { errorFields, type Log } from "../log.ts";
import { connectRedis } from "../redis/connection.ts";
import { createAcknowledgeUsers } from "../refresh/acknowledge-users.ts";
import { drainRefreshRequests } from "../refresh/drain-refresh-requests.ts";
import type { Running, World } from "../world.ts";
import { createRefresh } from "./create-refresh.ts";
import type { Store } from "./open-store.ts";
import { startWatch } from "./start-watch.ts";

/** The workers and the ledger's watch. */
export async function runWorkers(config: Config, world: World, log: Log, store: Store): Promise<Running> {
  const flags = await loadDefinitions(config.flagsFile);
  const onError = (error: unknown) => log.warn(errorFields(error), "redis error");
  const connection = connectRedis({ url: config.redisUrl, onError });
  const workers = startWorkers({
    ...store,
    ...createRefresh(config, world, store, flags),
    connection,
    prefix: store.keys.queues,
    retry: config.retry,
    concurrency: config.concurrency,
    ...config.sweep,
    acknowledge: createAcknowledgeUsers(store),
    now: world.now,
    log,
  });
  const watch = startWatch(config, world, log, store);
  const wishes = drainRefreshRequests({ ...store, redis: connectRedis({ url: config.redisUrl, onError }), onError });
  log.info({ ...config.concurrency, flags: Object.keys(flags.flags) }, "workers started");
  return {
    async close() {
      // Less than the whole bound: aborted jobs must still be handed back within it.
      await Promise.all([watch.close(), wishes.close(), workers.close(config.shutdownTimeoutMs * 0.8)]);
      connection.disconnect();
    },
  };
}
