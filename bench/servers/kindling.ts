import { createFetch } from "../../src/fetch.ts";
import { createLog } from "../../src/log.ts";
import { runServer } from "../../src/service/run-server.ts";
import { openStore } from "../../src/store.ts";
import { benchConfig } from "../support/config.ts";
import { serveParent, setting } from "./parent.ts";

/** The HTTP side of Kindling, as `kindling server` runs it. */
const config = benchConfig({
  domain: setting("BENCH_DOMAIN"),
  redisUrl: setting("BENCH_REDIS"),
  env: JSON.parse(process.env.BENCH_SETTINGS ?? "{}"),
});
const log = createLog(config.logLevel);
const world = { fetch: createFetch(), now: Date.now };
const store = await openStore(config, world, log);
const server = await runServer(config, world, log, store);
serveParent(server.port, () => store.close());
