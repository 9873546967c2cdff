import { z } from "zod";
import { trailSchema } from "../kinde/paging.ts";
import { storedShape } from "../redis/stored.ts";
import { gatherSchema } from "./gather-grants.ts";
import { lagSampleSchema, nothingObserved } from "./index-lag.ts";
import type { SweepMark } from "./seen-users.ts";
import { nobodyAged, type SweepState } from "./sweep-state.ts";

/** Version of {@link sweepStateSchema}, shared by every shape that contains it. */
export const sweepVersion = 1;

const count = z.int().nonnegative();
const mark = z.object({ number: count, bits: count.min(1) }) satisfies z.ZodType<SweepMark>;

/** Schema of {@link SweepState}. Members with a default are absent in sweeps of the first releases of version 1. */
export const sweepStateSchema = z.object({
  mark,
  previous: mark.nullable(),
  startedAt: z.number(),
  phase: z.enum(["listing", "holding", "counting", "unlisted"]),
  cursor: z.string().nullable(),
  runId: z.string().exactOptional(),
  ended: z.boolean().default(false),
  trail: trailSchema.exactOptional(),
  users: count,
  different: count,
  fields: z.record(z.string(), count).exactOptional(),
  disputed: z.record(z.string(), count).exactOptional(),
  derived: count.default(0),
  missing: count,
  lost: count.default(0),
  completeSince: z.number().nullable().default(null),
  fill: z.boolean(),
  grants: z
    .union([
      z.object({
        startedAt: z.number(),
        since: z.object({ id: z.string(), runId: z.string() }).exactOptional(),
        gathered: gatherSchema,
      }),
      z.literal("unavailable"),
    ])
    .exactOptional(),
  unanswered: count.exactOptional(),
  filled: count,
  gaveUp: count,
  held: count.default(0),
  verified: z.boolean().default(false),
  doubted: count,
  scanMs: z.number().nonnegative().default(0),
  scannedAt: z.number().nullable().default(null),
  recorded: count.default(0),
  vanished: count.default(0),
  heldBack: count.default(0),
  unlisted: count,
  calls: count.default(0),
  lateMs: z.number().nonnegative().default(0),
  lagMs: z.number().nonnegative().nullable().default(null),
  aged: z
    .object({
      members: z.boolean(),
      customers: z.boolean(),
      from: z.number().default(nobodyAged.from),
      to: z.number().default(nobodyAged.to),
    })
    .default(nobodyAged),
  lag: lagSampleSchema.default(nothingObserved),
}) satisfies z.ZodType<SweepState>;

/** Adds the counts that releases before version 1 did not keep. */
export function migrateSweep(older: unknown): unknown {
  return { fields: {}, fill: false, filled: 0, gaveUp: 0, ...(older as object) };
}

/** The state of a sweep, as its job keeps it. */
export const storedSweep = storedShape<SweepState>(sweepVersion, sweepStateSchema, { migrate: migrateSweep });
