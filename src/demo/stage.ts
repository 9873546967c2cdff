import type { Emulator, UserInput } from "kinde-emulator";
import type { Reader, Writer } from "kindling";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Queues } from "../store.ts";
import type { SweepLog } from "../sweep/sweep-log.ts";
import type { DemoFlags } from "./kindling.flags.ts";
import type { Narrator } from "./narrator.ts";

/** Everything a step uses: the emulated Kinde on one side, Redis and the reader on the other, Kindling in between. */
export interface Stage {
  kinde: Emulator;
  /** The app server's client, reader and writer. */
  redis: RedisClient;
  reader: Reader<DemoFlags>;
  writer: Writer<DemoFlags>;
  keys: Keys;
  ledger: Pick<Ledger, "size">;
  queues: Pick<Queues, "enqueueSweep" | "bulk">;
  sweeps: Pick<SweepLog, "last">;
  narrator: Narrator;
  /** Aborted when the demo stops. */
  signal: AbortSignal;
}

/** One step of the tour. Shows something and checks it. */
export interface Step {
  title: string;
  /**
   * @returns the conclusion, in one line
   * @throws {Mismatch} if a check fails
   */
  run(stage: Stage): Promise<string>;
}

type DemoUser = UserInput & { id: string };

/** Signs up, becomes an admin and is deleted. */
export const ada: DemoUser = {
  id: "kp_ada00000000000000000000000000001",
  firstName: "Ada",
  lastName: "Lovelace",
  properties: { onboarded: "true", plan_tier: "pro", compliance_region: "eu" },
};

/** Changes a thousand times and remains after the tour. */
export const bob: DemoUser = {
  id: "kp_b0b00000000000000000000000000002",
  firstName: "Bob",
  lastName: "Kahn",
  properties: { plan_tier: "enterprise", compliance_region: "us" },
};
