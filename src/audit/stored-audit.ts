import { z } from "zod";
import { storedShape } from "../redis/stored.ts";
import type { AuditState } from "./audit.ts";
import { driftCauses } from "./find-cause.ts";

/** Version of {@link auditStateSchema}, shared by every shape that contains it. A new drift cause needs a new version. */
export const auditVersion = 1;

const count = z.int().nonnegative();
const cause = z.enum(driftCauses);

/** Schema of {@link AuditState}. */
export const auditStateSchema = z.object({
  startedAt: z.number(),
  rest: z.array(z.string()),
  checked: count,
  drifted: count,
  unsettled: count,
  failed: count,
  causes: z.partialRecord(cause, count),
  examples: z.array(z.object({ userId: z.string(), cause, fields: z.array(z.string()) })),
}) satisfies z.ZodType<AuditState>;

/** Adds the count that releases before version 1 did not keep. */
export function migrateAudit(older: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { failed: 0, ...older };
}

/** The state of an audit, as its job keeps it. */
export const storedAudit = storedShape<AuditState>(auditVersion, auditStateSchema, { migrate: migrateAudit });
