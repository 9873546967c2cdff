import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "bullmq";
import type { EmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { runWorkers } from "../../src/service/run-workers.ts";
import { openStore } from "../../src/store.ts";
import type { Running } from "../../src/world.ts";
import type { Stack } from "../support/stack.ts";
import { startWire } from "../support/wire.ts";
import type { Scene, Step } from "./scene.ts";

const queueNames = ["refresh", "bulk", "fanout"] as const;

/** Workers that can be torn off: to everybody else they are then as good as killed. */
export interface DoomedWorkers {
  tearOff(): void;
  /** They come back, with what they had in hand: a network that heals, or a machine that wakes. */
  comeBack(): void;
  close(): Promise<void>;
}

export async function startDoomedWorkers(stack: Stack): Promise<DoomedWorkers> {
  const { config, world, log } = stack;
  const wire = await startWire(config.redisUrl);
  const own = { ...config, redisUrl: wire.url };
  const store = await openStore(own, world, log);
  const workers: Running = await runWorkers(own, world, log, store);
  return {
    tearOff: wire.cut,
    comeBack: wire.mend,
    async close() {
      wire.mend();
      await workers.close();
      await store.close();
      await wire.close();
    },
  };
}

/** Looks for stalled jobs far more often than a deployment does, so that a test need not wait half a minute. */
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

/** Does what time would: the locks of all jobs in hand run out. Whoever is alive carries on without knowing. */
async function expireLocks({ store }: Stack): Promise<void> {
  for (const name of queueNames) {
    const queue = store.queues[name];
    const inHand = await queue.getActive().catch(() => []);
    const locks = inHand.flatMap(({ id }) => (id === undefined ? [] : `${queue.toKey(id)}:lock`));
    if (locks.length > 0) await store.redis.del(locks);
  }
}

/** What strikes the deployment itself. `doomed` are its expendable workers, one of them torn off at a time. */
export function disasters(redis: EmbeddedRedis, doomed: DoomedWorkers) {
  return {
    killWorkers: async ({ stack, undo }: Scene, { choice }: Step) => {
      doomed.tearOff();
      undo.push(doomed.comeBack);
      await expireLocks(stack).catch(() => undefined);
      if (choice % 2 === 0) {
        await delay(choice % 100);
        doomed.comeBack();
      }
    },
    restartRedis: async (_scene: Scene, { choice }: Step) => {
      await redis.kill();
      await delay(choice % 60);
      await redis.start();
    },
    /** A dashboard's button. */
    wipeQueue: async ({ stack }: Scene, { choice }: Step) => {
      const name = queueNames[choice % queueNames.length] ?? "refresh";
      await stack.store.queues[name].obliterate({ force: true }).catch(() => undefined);
    },
  } as const;
}
