import type { Redis } from "ioredis";
import type { Keys } from "../../cache/keys.ts";
import type { Emulator } from "../../emulator/index.ts";
import type { Kindling } from "../../index.ts";
import type { Ledger } from "../../queue/ledger.ts";
import type { Queues } from "../../queue/queues.ts";
import type { SweepLog } from "../../queue/sweep-log.ts";
import type { Reader } from "../../reader/index.ts";
import type { DemoFlags } from "./demo-flags.ts";
import type { Narrator } from "./narrator.ts";

/** What a step has at hand: Kinde on one side, Redis and the reader on the other, Kindling in between. */
export interface Stage {
  /** The emulated Kinde. */
  kinde: Emulator;
  /** What an app server has: a client, a reader, and the way to set properties. */
  redis: Redis;
  reader: Reader<DemoFlags>;
  kindling: Kindling<DemoFlags>;
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
