import type { Redis } from "ioredis";
import type { Emulator } from "kinde-emulator";
import type { Reader, Writer } from "kindling";
import type { Keys } from "../redis/keys.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Queues } from "../store.ts";
import type { SweepLog } from "../sweep/sweep-log.ts";
import type { DemoFlags } from "./demo-flags.ts";
import type { Narrator } from "./narrator.ts";

/** What a step has at hand: Kinde on one side, Redis and the reader on the other, Kindling in between. */
export interface Stage {
  /** The emulated Kinde. */
  kinde: Emulator;
  /** What an app server has: a client, a reader, and the way to set properties. */
  redis: Redis;
  reader: Reader<DemoFlags>;
  writer: Writer<DemoFlags>;
  keys: Keys;
  ledger: Pick<Ledger, "size">;
  queues: Pick<Queues, "enqueueSweep" | "bulk">;
  sweeps: Pick<SweepLog, "last">;
  narrator: Narrator;
  /** Aborted when the demo is to stop. */
  signal: AbortSignal;
}

/** One step of the story: shows something, and checks that it is so. */
export interface Step {
  title: string;
  /**
   * @returns what was shown, in one line
   * @throws {Mismatch} when it is not so
   */
  run(stage: Stage): Promise<string>;
}
