import type { Emulator } from "kinde-emulator";
import type { Config } from "../../src/config.ts";
import { createFetch } from "../../src/fetch.ts";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createLog } from "../../src/log.ts";
import { createFlows, type Flows } from "../../src/service/create-flows.ts";
import { openStore, type Store } from "../../src/store.ts";
import { startChild } from "./child.ts";
import { benchConfig } from "./config.ts";

/** One server and one worker in processes of their own, with this process' emulator as Kinde. */
export interface Deployment {
  config: Config;
  store: Store;
  /** Those of this process, which runs no jobs. */
  flows: Flows;
  webhookUrl: string;
  close(): Promise<void>;
}

/** Options for {@link startDeployment}. */
export interface DeploymentOptions {
  emulator: Emulator;
  redisUrl: string;
  /** Settings that are not the benchmarks' own. */
  env: Record<string, string>;
}

/** Starts a deployment. */
export async function startDeployment({ emulator, redisUrl, env }: DeploymentOptions): Promise<Deployment> {
  const { url: domain, clientId, clientSecret } = emulator;
  const credentials = { clientId, clientSecret };
  const config = benchConfig({ domain, redisUrl, credentials, env });
  const world = { fetch: createFetch(), now: Date.now };
  const store = await openStore(config, world, createLog(config.logLevel));
  const flows = createFlows({ config, world, store, definitions: await loadDefinitions(config.flagsFile) });
  const settings = {
    BENCH_DOMAIN: domain,
    BENCH_REDIS: redisUrl,
    BENCH_CREDENTIALS: JSON.stringify(credentials),
    BENCH_SETTINGS: JSON.stringify(env),
  };
  const [server, worker] = await Promise.all([startChild("kindling", settings), startChild("refresher", settings)]);
  return {
    config,
    store,
    flows,
    webhookUrl: `http://127.0.0.1:${server.port}/webhooks/kinde`,
    async close() {
      await emulator.close();
      await Promise.all([server.close(), worker.close()]);
      await store.close();
    },
  };
}
