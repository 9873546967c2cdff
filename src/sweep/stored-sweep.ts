import { z } from "zod";
import { trailSchema } from "../kinde/paging.ts";
import { storedShape } from "../redis/stored.ts";
import type { SweepMark } from "./seen-users.ts";
import type { SweepState } from "./sweep.ts";

/** Version of {@link sweepStateSchema}, shared by every shape that contains it. */
export const sweepVersion = 1;

const count = z.int().nonnegative();
const mark = z.object({ number: count, bits: count.min(1) }) satisfies z.ZodType<SweepMark>;

/** Schema of {@link SweepState}. */
export const sweepStateSchema = z.object({
  mark,
  previous: mark.nullable(),
  startedAt: z.number(),
  phase: z.enum(["listing", "unlisted"]),
  cursor: z.string().nullable(),
  trail: trailSchema.exactOptional(),
  users: count,
  different: count,
  fields: z.record(z.string(), count).exactOptional(),
  missing: count,
  fill: z.boolean(),
  filled: count,
  gaveUp: count,
  doubted: count,
  unlisted: count,
}) satisfies z.ZodType<SweepState>;

/** Adds the counts that releases before version 1 did not keep. */
export function migrateSweep(older: unknown): unknown {
  return { fields: {}, fill: false, filled: 0, gaveUp: 0, ...(older as object) };
}

/** The state of a sweep, as its job keeps it. */
export const storedSweep = storedShape<SweepState>(sweepVersion, sweepStateSchema, { migrate: migrateSweep });
