import { Redis } from "ioredis";
import { createReader, type Definitions, type Reader } from "kindling";
import { type Config, loadConfig } from "../../../src/config.ts";
import type { Fetch } from "../../../src/fetch.ts";
import { createLog } from "../../../src/log.ts";
import { createFlows, type Flows } from "../../../src/service/create-flows.ts";
import { noteSignIns } from "../../../src/service/keep-trail.ts";
import { startServiceWorkers } from "../../../src/service/run-workers.ts";
import { openStore, type Store } from "../../../src/store.ts";
import { type Admission, type Admissions, createAdmissions } from "../../../src/webhook/admit.ts";
import { routeEvent } from "../../../src/webhook/route-event.ts";
import { simulatedHost } from "./globals.ts";
import type { Network } from "./network.ts";
import type { Actor, Timeline } from "./timeline.ts";

const redisUrl = `redis://${simulatedHost}:6379`;
export const origin = "https://simulated.kinde.com";
export const prefix = "kindling";

/** What a started process offers; `undefined` until it is ready, and after it died. */
export interface Ready {
  store: Store;
  flows: Flows;
  admissions: Admissions;
}

/** A process of the deployment that is restarted when it dies, as a supervisor does. */
export interface ManagedProcess {
  readonly name: string;
  /** The running instance. */
  readonly actor: Actor;
  readonly ready: Ready | undefined;
  /** Dies at once, without any cleaning up, and starts again after the pause. */
  kill(pauseMs: number): void;
  /** Ends for good. */
  stop(): void;
  /** Replaces the instance with one of other settings, as a deployment does. */
  replace(settings: ProcessSettings): void;
}

/** Settings of one process. */
export interface ProcessSettings {
  env: Readonly<Record<string, string>>;
  definitions: Definitions;
  workers: boolean;
}

/** Options for {@link startProcess}. */
export interface StartProcessOptions {
  timeline: Timeline;
  network: Network;
  fetch: Fetch;
  settings: ProcessSettings;
  /** Called when an instance cannot start. */
  onRefused?: (error: unknown) => void;
}

/** Starts a process: a store and flows, an endpoint that admits events, and workers if the settings want them. */
export function startProcess(name: string, options: StartProcessOptions): ManagedProcess {
  const { timeline, network } = options;
  let { settings } = options;
  let instances = 0;
  let actor = timeline.createActor(name);
  let ready: Ready | undefined;

  const launch = (pauseMs: number) => {
    instances += 1;
    const { aheadMs } = actor;
    actor = timeline.createActor(`${name}#${instances}`);
    actor.aheadMs = aheadMs;
    const own = actor;
    const boot = () => {
      start(settings, options).then(
        (started) => {
          ready = started;
        },
        (error: unknown) => {
          options.onRefused?.(error);
          timeline.after(500_000, boot, own);
        },
      );
    };
    timeline.after(pauseMs * 1000, boot, own);
  };
  const stop = () => {
    actor.alive = false;
    ready = undefined;
    network.abandon(actor);
  };
  launch(0);
  return {
    name,
    get actor() {
      return actor;
    },
    get ready() {
      return ready;
    },
    kill(pauseMs) {
      stop();
      launch(pauseMs);
    },
    stop,
    replace(other) {
      settings = other;
      stop();
      launch(10);
    },
  };
}

/** Returns the settings of a process. */
export function configOf(env: Readonly<Record<string, string>>): Config {
  return loadConfig({
    KINDE_DOMAIN: origin,
    KINDE_MANAGEMENT_CLIENT_ID: "simulated",
    KINDE_MANAGEMENT_CLIENT_SECRET: "simulated",
    REDIS_URL: redisUrl,
    KINDLING_PREFIX: prefix,
    KINDLING_LOG_LEVEL: "silent",
    ...env,
  });
}

async function start({ env, definitions, workers }: ProcessSettings, { fetch }: StartProcessOptions): Promise<Ready> {
  const config = configOf(env);
  const log = createLog(config.logLevel);
  const world = { fetch, now: Date.now };
  const store = await openStore(config, world, log);
  const flows = createFlows({ config, world, store, definitions });
  if (workers) startServiceWorkers({ config, world, log, store, flows });
  const { redis, keys, queues, replication } = store;
  const onError = () => undefined;
  const admissions = noteSignIns(
    store.recentUsers.note,
    createAdmissions({ redis, keys, queues, replication, burst: config.burst, onError }),
  );
  return { store, flows, admissions };
}

/** Admits an event as the webhook's route does. */
export function admit(
  { admissions }: Ready,
  event: { event_id: string; type: string; timestamp: string; data: Record<string, unknown> },
): Promise<Admission> {
  const { event_id: id, type, data } = event;
  const route = routeEvent({ id, type, timestamp: Date.parse(event.timestamp), data }, { refreshOnSignIn: true });
  return admissions.admit({ id, type, route });
}

/** Opens a reader as an app server does. The code of the process that reads must be running. */
export function openReader<V extends Record<string, unknown>>(definitions: Definitions<V>): Reader<V> {
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: 0, enableOfflineQueue: false });
  redis.on("error", () => undefined);
  return createReader({ redis, definitions, prefix });
}
