import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { createEmulator, type Emulator } from "kinde-emulator";
import { createReader } from "kindling";
import type { Terminal } from "../cli/terminal.ts";
import { loadConfig } from "../config.ts";
import { createWriter } from "../index.ts";
import { createLog } from "../log.ts";
import { connectRedis } from "../redis/connection.ts";
import { createKeys } from "../redis/keys.ts";
import { runServer } from "../service/run-server.ts";
import { runWorkers } from "../service/run-workers.ts";
import { openStore } from "../store.ts";
import { createClosers } from "./closers.ts";
import flags from "./demo-flags.ts";
import { type DemoRedis, openDemoRedis } from "./demo-redis.ts";
import type { Narrator } from "./narrator.ts";
import type { Stage } from "./step.ts";

/** The stage, and what its visitors may want to know. */
export interface OpenStage extends Stage {
  /** `http://127.0.0.1:<port>`: Kindling's server. */
  serverUrl: string;
  /** A redis-cli command line that reaches the demo's Redis. */
  redisCli: string;
  /** Bearer token of the server's write-through route. */
  apiToken: string;
  close(): Promise<void>;
}

/** Redis, the emulated Kinde, and Kindling's server and worker between them, all over real connections. */
export async function openStage({ env, world, stopSignal }: Terminal, narrator: Narrator): Promise<OpenStage> {
  const closers = createClosers();
  try {
    const demoRedis = await openDemoRedis(env.REDIS_URL, narrator.frame);
    closers.add(demoRedis.close);
    const kinde = await createEmulator({ users: 100, retryTimeScale: 0.01 });
    closers.add(kinde.close);
    const apiToken = randomBytes(16).toString("hex");
    const settings = demoSettings(kinde, demoRedis, apiToken);
    const config = loadConfig(settings);
    const log = createLog(config.logLevel);
    const store = await openStore(config, world, log);
    closers.add(store.close);
    const workers = await runWorkers(config, world, log, store);
    closers.add(workers.close);
    const server = await runServer(config, world, log, store);
    closers.add(server.close);
    const serverUrl = `http://127.0.0.1:${server.port}`;
    kinde.webhooks.register({ url: `${serverUrl}/webhooks/kinde` });
    const redis = connectRedis({ url: demoRedis.url, timeoutMs: 2_000, onError: () => undefined });
    closers.add(async () => redis.disconnect());
    const writer = createWriter({ definitions: flags, env: settings, fetch: world.fetch });
    closers.add(writer.close);
    return {
      kinde,
      redis,
      reader: createReader({ redis, definitions: flags, prefix: config.prefix }),
      writer,
      keys: createKeys(config.prefix),
      ledger: store.ledger,
      queues: store.queues,
      sweeps: store.sweeps,
      narrator,
      signal: stopSignal(),
      serverUrl,
      redisCli: demoRedis.cli,
      apiToken,
      close: closers.closeAll,
    };
  } catch (error) {
    await closers.closeAll();
    throw error;
  }
}

function demoSettings(kinde: Emulator, { url, prefix }: DemoRedis, apiToken: string): Record<string, string> {
  const flagsFile = `./demo-flags${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`;
  return {
    KINDE_DOMAIN: kinde.url,
    KINDE_MANAGEMENT_CLIENT_ID: kinde.clientId,
    KINDE_MANAGEMENT_CLIENT_SECRET: kinde.clientSecret,
    REDIS_URL: url,
    HOST: "127.0.0.1",
    PORT: "0",
    KINDLING_PREFIX: prefix,
    KINDLING_FLAGS: fileURLToPath(new URL(flagsFile, import.meta.url)),
    KINDLING_LOG_LEVEL: "silent",
    KINDLING_CALLS_PER_MINUTE: "100000",
    KINDLING_API_TOKEN: apiToken,
    // Swept when the story says so, and the emulator's index does not lag: what is found, and in how many calls, is exact.
    KINDLING_SWEEP_INTERVAL: "0s",
    KINDLING_AUDIT_INTERVAL: "0s",
    KINDLING_INDEX_LAG: "0s",
    // Nobody wants to watch a demo wait.
    KINDLING_RETRY_BASE: "100ms",
    KINDLING_RETRY_MAX: "500ms",
    // On a slow machine a burst lasts longer, and pauses longer, than the defaults allow.
    KINDLING_BURST_QUIET: "2s",
    KINDLING_BURST_MAX: "1m",
    KINDLING_SHUTDOWN_TIMEOUT: "3s",
  };
}
