import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { createEmulator, type Emulator } from "kinde-emulator";
import { createReader } from "kindling";
import type { Terminal } from "../cli/terminal.ts";
import { readVersion } from "../cli/version.ts";
import { loadConfig } from "../config.ts";
import { createWriter } from "../index.ts";
import { createLog } from "../log.ts";
import { scanKeys } from "../redis/client.ts";
import { connectRedis, waitUntilReady } from "../redis/connection.ts";
import { joinFleet } from "../redis/fleet.ts";
import { createKeys } from "../redis/keys.ts";
import { runDashboard } from "../service/run-dashboard.ts";
import { runServer } from "../service/run-server.ts";
import { runWorkers } from "../service/run-workers.ts";
import { openStore } from "../store.ts";
import { startEmbeddedRedis } from "./embedded-redis.ts";
import definitions from "./kindling.flags.ts";
import type { Narrator } from "./narrator.ts";
import type { Stage } from "./stage.ts";

/** A running demo, with the addresses that the closing hints name. */
export interface OpenStage extends Stage {
  /** Kindling's server: `http://127.0.0.1:<port>`. */
  serverUrl: string;
  /** The page for operators, and the token that signs in there. */
  dashboard: { url: string; token: string };
  /** Settings that connect the `kindling` command to the demo. Without `REDIS_URL` if the user gave it. */
  commandSettings: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Starts Redis, the emulated Kinde, and Kindling's server and worker, all connected over real sockets. */
export async function openStage({ env, world, stopSignal }: Terminal, narrator: Narrator): Promise<OpenStage> {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    const failures: unknown[] = [];
    for (const closer of closers.splice(0).reverse()) await closer().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  };
  try {
    const demoRedis = await openDemoRedis(env.REDIS_URL, narrator.line);
    closers.push(demoRedis.close);
    const kinde = await createEmulator({ users: 100, retryTimeScale: 0.01 });
    closers.push(kinde.close);
    const apiToken = randomBytes(16).toString("hex");
    const settings = demoSettings(kinde, demoRedis, apiToken);
    const config = loadConfig(settings);
    const log = createLog(config.logLevel);
    const store = await openStore(config, world, log);
    closers.push(store.close);
    const workers = await runWorkers(config, world, log, store);
    closers.push(workers.close);
    const server = await runServer(config, world, log, store);
    closers.push(server.close);
    const serverUrl = `http://127.0.0.1:${server.port}`;
    kinde.webhooks.register({ url: `${serverUrl}/webhooks/kinde` });
    const dashboard = await runDashboard(config, world, log, store);
    closers.push(dashboard.close);
    const about = { services: ["server", "worker", "dashboard"], version: readVersion(), definitions: workers.schema };
    closers.push(joinFleet(store, about, world.now).leave);
    const redis = connectRedis({ url: demoRedis.url, timeoutMs, onError: () => undefined });
    closers.push(async () => redis.disconnect());
    const writer = createWriter({ definitions, env: settings, fetch: world.fetch });
    closers.push(writer.close);
    return {
      kinde,
      redis,
      reader: createReader({ redis, definitions, prefix: config.prefix }),
      writer,
      keys: createKeys(config.prefix),
      ledger: store.ledger,
      queues: store.queues,
      sweeps: store.sweeps,
      narrator,
      signal: stopSignal(),
      serverUrl,
      dashboard: { url: dashboard.url, token: apiToken },
      commandSettings: pickSettings(settings, [
        ...(env.REDIS_URL ? [] : ["REDIS_URL"]),
        "KINDE_DOMAIN",
        "KINDE_MANAGEMENT_CLIENT_ID",
        "KINDE_MANAGEMENT_CLIENT_SECRET",
        "KINDLING_PREFIX",
        "KINDLING_FLAGS",
      ]),
      close,
    };
  } catch (error) {
    // The first error says why; closing can fail for the same reason.
    await close().catch(() => undefined);
    throw error;
  }
}

interface DemoRedis {
  url: string;
  prefix: string;
  close(): Promise<void>;
}

/** Uses the given Redis under a random prefix that is emptied at the end, or starts one. */
async function openDemoRedis(given: string | undefined, say: (line: string) => void): Promise<DemoRedis> {
  if (given) {
    const prefix = `kindling-demo-${randomBytes(4).toString("hex")}`;
    return { url: given, prefix, close: () => removeKeys(given, prefix) };
  }
  const { url, close } = await startEmbeddedRedis({ say });
  return { url, prefix: "kindling", close };
}

const timeoutMs = 2_000;

async function removeKeys(url: string, prefix: string): Promise<void> {
  const redis = connectRedis({ url, timeoutMs, onError: () => undefined });
  try {
    await waitUntilReady(redis, { url, timeoutMs });
    let cursor = "0";
    do {
      const [next, keys] = await scanKeys(redis, cursor, { match: `*${prefix}*`, count: 1_000 });
      await Promise.all(keys.map((key) => redis.unlink(key)));
      cursor = next;
    } while (cursor !== "0");
  } finally {
    redis.disconnect();
  }
}

function pickSettings(settings: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, settings[name] ?? ""]));
}

function demoSettings(kinde: Emulator, { url, prefix }: DemoRedis, apiToken: string): Record<string, string> {
  const flagsFile = `./kindling.flags${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`;
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
    KINDLING_DASHBOARD_PORT: "0",
    KINDLING_DASHBOARD_TOKENS: `demo:operate:${apiToken}`,
    // Only the tour starts sweeps, and the emulator's search index has no lag, so the checks can expect exact numbers.
    KINDLING_SWEEP_INTERVAL: "0s",
    KINDLING_AUDIT_INTERVAL: "0s",
    KINDLING_INDEX_LAG: "0s",
    // Short retries keep the outage step short.
    KINDLING_RETRY_BASE: "100ms",
    KINDLING_RETRY_MAX: "500ms",
    // On a slow machine the burst has longer gaps than the defaults allow, and would count as several bursts.
    KINDLING_BURST_QUIET: "500ms",
    KINDLING_BURST_MAX: "1m",
    KINDLING_SHUTDOWN_TIMEOUT: "3s",
  };
}
