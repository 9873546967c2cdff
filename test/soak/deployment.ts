import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { createEmulator, type Emulator, type LogEntry } from "kinde-emulator";
import { loadConfig } from "../../src/config.ts";
import { createFetch } from "../../src/fetch.ts";
import { createLog } from "../../src/log.ts";
import { openStore, type Store } from "../../src/store.ts";
import { freePort } from "../support/free-port.ts";
import { waitUntilComplete } from "../support/wait-until-complete.ts";
import { createProcess, type KindlingProcess, type SoakRedis, startSoakRedis } from "./fleet.ts";

/** Emulator, Redis, one server and two workers, the last three in processes of their own. */
export interface SoakDeployment {
  emulator: Emulator;
  redis: SoakRedis;
  /** A connection for faults. */
  connection: Redis;
  server: KindlingProcess;
  workers: readonly [KindlingProcess, KindlingProcess];
  /** The store, to look at. */
  store: Store;
  /** Settings of the processes. */
  env: Record<string, string>;
  url: string;
  token: string;
  close(): Promise<void>;
}

/** Options for {@link startDeployment}. */
export interface SoakDeploymentOptions {
  users: number;
  seed: number;
  /** Folder of the processes' output. */
  folder: string;
  onEvent: (entry: LogEntry) => void;
  /** Called when a process ends although nobody killed it. */
  onExit: (name: string, code: number | null) => void;
}

const flagsFile = fileURLToPath(new URL("../../kindling.flags.ts", import.meta.url));

/** Starts a deployment and waits until its store is complete. */
export async function startDeployment(options: SoakDeploymentOptions): Promise<SoakDeployment> {
  const { users, seed, folder, onEvent, onExit } = options;
  mkdirSync(folder, { recursive: true });
  const redis = await startSoakRedis();
  const emulator = await createEmulator({ users, seed, retryTimeScale: 0.05, onEvent });
  const token = randomBytes(24).toString("hex");
  const port = await freePort();
  const env = {
    KINDE_DOMAIN: emulator.url,
    KINDE_MANAGEMENT_CLIENT_ID: emulator.clientId,
    KINDE_MANAGEMENT_CLIENT_SECRET: emulator.clientSecret,
    REDIS_URL: redis.url,
    HOST: "127.0.0.1",
    PORT: String(port),
    KINDLING_FLAGS: flagsFile,
    KINDLING_LOG_LEVEL: "warn",
    KINDLING_API_TOKEN: token,
    KINDLING_API_CALLS_PER_MINUTE: "60000",
    // What a hundred events a second need, most of them about users with roles.
    KINDLING_CALLS_PER_MINUTE: "60000",
    KINDLING_CALLS_AT_ONCE: "60",
    // Sweeps and walks would take the tenth of this that they take of a usual limit.
    KINDLING_SWEEP_SHARE: "0.02",
    KINDLING_RETRY_MAX: "10s",
    KINDLING_FAILED_RETRY: "30s",
    KINDLING_ABSENCE_SPAN: "30s",
    KINDLING_TOMBSTONE_TTL: "1h",
    KINDLING_AUDIT_INTERVAL: "5m",
  };
  const create = (name: string, command: "server" | "worker") =>
    createProcess({ name, command, env, folder, onExit: (code) => onExit(name, code) });
  const server = create("server", "server");
  const workers = [create("worker 1", "worker"), create("worker 2", "worker")] as const;
  for (const each of [server, ...workers]) each.start();
  const store = await openStore(loadConfig(env), { fetch: createFetch(), now: Date.now }, createLog("silent"));
  const connection = new Redis(redis.url, { retryStrategy: () => 100 });
  // It is told by faults that do not work.
  connection.on("error", () => undefined);
  await waitUntilComplete(store);
  const url = `http://127.0.0.1:${port}`;
  emulator.webhooks.register({ url: `${url}/webhooks/kinde` });
  return {
    emulator,
    redis,
    connection,
    server,
    workers,
    store,
    env,
    url,
    token,
    async close() {
      await emulator.close();
      await Promise.all([server, ...workers].map((each) => each.kill()));
      connection.disconnect();
      await store.close();
      await redis.close();
    },
  };
}
