import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "bullmq";
import type { EmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { runWorkers } from "../../src/service/run-workers.ts";
import { openStore } from "../../src/store.ts";
import type { Running } from "../../src/world.ts";
import type { Stack } from "../support/stack.ts";
import { startWire } from "../support/wire.ts";
import type { Scene, Step } from "./scene.ts";

const queueNames = ["refresh", "bulk", "confirm", "fanout"] as const;

/** Workers that can be cut off from Redis, which looks like a kill to everyone else. */
export interface DoomedWorkers {
  cutOff(): void;
  /** Reconnects them with their active jobs, like a network that recovers or a machine that wakes up. */
  reconnect(): void;
  close(): Promise<void>;
}

export async function startDoomedWorkers(stack: Stack): Promise<DoomedWorkers> {
  const { config, world, log } = stack;
  const wire = await startWire(config.redisUrl);
  const own = { ...config, redisUrl: wire.url };
  const store = await openStore(own, world, log);
  const workers: Running = await runWorkers(own, world, log, store);
  return {
    cutOff: wire.cut,
    reconnect: wire.restore,
    async close() {
      wire.restore();
      await workers.close();
      await store.close();
      await wire.close();
    },
  };
}

/** Checks for stalled jobs far more often than a deployment does, so that a test does not have to wait half a minute. */
export function startStalledChecks({ config, store }: Stack): Running {
  const { hostname: host, port } = new URL(config.redisUrl);
  const checks = queueNames.map((name) => {
    const connection = { host, port: Number(port), maxRetriesPerRequest: null };
    const options = { connection, prefix: store.keys.queues, stalledInterval: 50, maxStalledCount: 100 };
    const worker = new Worker(name, null, options);
    worker.on("error", () => undefined);
    void worker.startStalledCheckTimer();
    return worker;
  });
  return {
    close: async () => {
      await Promise.all(checks.map((worker) => worker.close(true)));
    },
  };
}

/** Expires the locks of all active jobs. Workers that are alive continue without noticing. */
async function expireLocks({ store }: Stack): Promise<void> {
  for (const name of queueNames) {
    const queue = store.queues[name];
    const active = await queue.getActive().catch(() => []);
    const locks = active.flatMap(({ id }) => (id === undefined ? [] : `${queue.toKey(id)}:lock`));
    if (locks.length > 0) await store.redis.del(locks);
  }
}

/** Failures of the deployment itself. `doomed` are the workers that can be cut off. */
export function disasters(redis: EmbeddedRedis, doomed: DoomedWorkers) {
  return {
    killWorkers: async ({ stack, undo }: Scene, { choice }: Step) => {
      doomed.cutOff();
      undo.push(doomed.reconnect);
      await expireLocks(stack).catch(() => undefined);
      if (choice % 2 === 0) {
        await delay(choice % 100);
        doomed.reconnect();
      }
    },
    restartRedis: async (_scene: Scene, { choice }: Step) => {
      await redis.kill();
      await delay(choice % 60);
      await redis.start();
    },
    /** A button in a dashboard. */
    wipeQueue: async ({ stack }: Scene, { choice }: Step) => {
      const name = queueNames[choice % queueNames.length] ?? "refresh";
      await stack.store.queues[name].obliterate({ force: true }).catch(() => undefined);
    },
  } as const;
}
