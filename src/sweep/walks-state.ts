import { z } from "zod";
import { storedShape } from "../redis/stored.ts";
import { type GatherState, gatherSchema } from "./gather-grants.ts";
import { type FinishedWalk, type WalkKind, walkKinds } from "./walk-log.ts";

/** Progress of one walk. */
export interface Walk extends Omit<FinishedWalk, "finishedAt"> {
  /** Absent in walks over plans, which read no listing. */
  gathered?: GatherState;
  /** Whether a flag that is a function read permissions of a compared record; absent if none did. */
  reads?: boolean;
  /** Where the comparison of records continues. */
  cursor: string;
  /** The Redis process that the cursor belongs to. Absent before records are compared. */
  runId?: string;
  /** Attempts at the next step that Kinde left unanswered while it answered others, and when the last one was. */
  unanswered?: { times: number; at: number };
}

/** Progress of the walks that are under way, and whose turn it is. */
export interface WalksState {
  walks: Partial<Record<WalkKind, Walk>>;
  turn: number;
  /** Turns that a walk lets pass, because its last step took more than one call. */
  owed?: Owed;
}

/** Turns by kind. */
export type Owed = Partial<Record<WalkKind, number>>;

/** Turns that a walk lets pass at most, whatever its step took: more than the page of any. */
export const mostOwed = 1_000;

const count = z.int().nonnegative();
const walkSchema = z.object({
  startedAt: z.number(),
  calls: count,
  compared: count,
  different: count,
  disputed: count,
  gathered: gatherSchema.exactOptional(),
  reads: z.boolean().exactOptional(),
  cursor: z.string(),
  runId: z.string().exactOptional(),
  unanswered: z.object({ times: count, at: z.number() }).exactOptional(),
});
/** The state as its job keeps it. */
export const storedWalks = storedShape<WalksState>(
  1,
  z.object({
    walks: z.object({
      roles: walkSchema.exactOptional(),
      permissions: walkSchema.exactOptional(),
      otherPermissions: walkSchema.exactOptional(),
      plans: walkSchema.exactOptional(),
    }),
    turn: count,
    owed: z.partialRecord(z.enum(walkKinds), count.max(mostOwed)).exactOptional(),
  }),
);
