import type { Queue } from "bullmq";
import { z } from "zod";
import type { RedisClient } from "./client.ts";
import { createFleetSetting } from "./fleet-setting.ts";
import type { Keys } from "./keys.ts";
import { storedShape } from "./stored.ts";

/** The schedule of a job `tick`, one for the whole fleet. */
export interface TickSchedule {
  /**
   * Puts the schedule into force and returns the fleet's interval in milliseconds; 0 if there are no ticks. Call it
   * repeatedly: it is cheap, and a Redis that lost its data has lost the schedule too.
   */
  keep(): Promise<number>;
}

/** Options for {@link createTickSchedule}. */
export interface TickScheduleOptions {
  redis: RedisClient;
  keys: Pick<Keys, "ledgerPart">;
  queue: Pick<Queue, "name" | "getJobScheduler" | "upsertJobScheduler" | "removeJobScheduler">;
  /** This process's setting, in milliseconds; 0 for no ticks. */
  intervalMs: number;
  /** Called once for each other interval that the fleet adopts. */
  onOther: (fleetMs: number) => void;
}

const storedInterval = storedShape(1, z.object({ intervalMs: z.int().nonnegative() }));

/**
 * Creates the schedule. If processes have different intervals, the one that started last decides for all: if each put its
 * own into force, the schedule would start again, with a tick at once, at every check.
 */
export function createTickSchedule({ redis, keys, queue, intervalMs, onOther }: TickScheduleOptions): TickSchedule {
  const setting = createFleetSetting({
    redis,
    key: keys.ledgerPart(`interval:${queue.name}`),
    shape: storedInterval,
    own: { intervalMs },
    onOther: (fleet) => onOther(fleet.intervalMs),
  });
  return {
    async keep() {
      const { intervalMs: fleetMs } = await setting.read();
      if (fleetMs === 0) {
        await queue.removeJobScheduler("tick");
      } else if ((await queue.getJobScheduler("tick"))?.every !== fleetMs) {
        await queue.upsertJobScheduler("tick", { every: fleetMs }, { name: "tick", data: {} });
      }
      return fleetMs;
    },
  };
}
