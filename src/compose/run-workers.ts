import { startWorkers } from "../../workers/start-workers.ts";
import { connectRedis } from "../cache/redis.ts";
import type { Config } from "../config.ts";
import { loadFlags } from "../flags/load-flags.ts";
import { errorFields, type Log } from "../log.ts";
import { createAcknowledgeUsers } from "../queue/acknowledge-users.ts";
import { grantWishes } from "../queue/grant-wishes.ts";
import { createRefresh } from "./create-refresh.ts";
import type { Store } from "./open-store.ts";
import { startWatch } from "./start-watch.ts";
import type { Running, World } from "./world.ts";

/** The workers and the ledger's watch. */
export async function runWorkers(config: Config, world: World, log: Log, store: Store): Promise<Running> {
  const flags = await loadFlags(config.flagsFile);
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
  const wishes = grantWishes({ ...store, redis: connectRedis({ url: config.redisUrl, onError }), onError });
  log.info({ ...config.concurrency, flags: Object.keys(flags.definitions) }, "workers started");
  return {
    async close() {
      // Less than the whole bound: aborted jobs must still be handed back within it.
      await Promise.all([watch.close(), wishes.close(), workers.close(config.shutdownTimeoutMs * 0.8)]);
      connection.disconnect();
    },
  };
}
