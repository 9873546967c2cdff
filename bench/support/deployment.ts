import type { Emulator } from "kinde-emulator";
import type { Config } from "../../src/config.ts";
import { createFetch } from "../../src/fetch.ts";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { createLog } from "../../src/log.ts";
import { createFlows, type Flows } from "../../src/service/create-flows.ts";
import { runServer } from "../../src/service/run-server.ts";
import { startServiceWorkers } from "../../src/service/run-workers.ts";
import { openStore, type Store } from "../../src/store.ts";

/** Server and workers in this process, with the emulator as Kinde. */
export interface Deployment {
  store: Store;
  flows: Flows;
  webhookUrl: string;
  close(): Promise<void>;
}

/** Starts a deployment. */
export async function startDeployment(config: Config, emulator: Emulator): Promise<Deployment> {
  const world = { fetch: createFetch(), now: Date.now };
  const log = createLog(config.logLevel);
  const store = await openStore(config, world, log);
  const server = await runServer(config, world, log, store);
  const flows = createFlows({ config, world, store, definitions: await loadDefinitions(config.flagsFile) });
  const workers = startServiceWorkers({ config, world, log, store, flows });
  return {
    store,
    flows,
    webhookUrl: `http://127.0.0.1:${server.port}/webhooks/kinde`,
    async close() {
      await emulator.close();
      await server.close();
      await workers.close();
      await store.close();
    },
  };
}

/** Waits until the first sweep has filled the store. */
export async function waitUntilComplete({ store }: Pick<Deployment, "store">): Promise<void> {
  while ((await store.completeness.since()) === undefined) await new Promise((resolve) => setTimeout(resolve, 250));
}
