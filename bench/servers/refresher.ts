import { limitHeapGrowth } from "../../src/cli/limit-heap-growth.ts";
import { createFetch } from "../../src/fetch.ts";
import { createLog } from "../../src/log.ts";
import { runWorkers } from "../../src/service/run-workers.ts";
import { openStore } from "../../src/store.ts";
import { benchConfig } from "../support/config.ts";
import { serveParent, setting } from "./parent.ts";

/** The workers of Kindling, as `kindling worker` runs them. */
const config = benchConfig({
  domain: setting("BENCH_DOMAIN"),
  redisUrl: setting("BENCH_REDIS"),
  credentials: JSON.parse(setting("BENCH_CREDENTIALS")),
  env: JSON.parse(setting("BENCH_SETTINGS")),
});
limitHeapGrowth();
const log = createLog(config.logLevel);
const world = { fetch: createFetch(), now: Date.now };
const store = await openStore(config, world, log);
const workers = await runWorkers(config, world, log, store);
serveParent(0, async () => {
  await workers.close();
  await store.close();
});
