import { z } from "zod";
import type { Fault } from "../fault-types.ts";

const ms = z.number().nonnegative();
const duration = z.union([ms, z.tuple([ms, ms])]);

const limits = {
  count: z.number().int().positive().exactOptional(),
  probability: z.number().min(0).max(1).exactOptional(),
  seed: z.number().int().exactOptional(),
  forMs: ms.exactOptional(),
};
const user = { user: z.string().exactOptional() };
const call = { ...limits, ...user, path: z.string().exactOptional(), method: z.string().exactOptional() };
const delivery = { ...limits, ...user, eventTypes: z.array(z.string()).exactOptional() };
const status = z.number().int().min(400).max(599);
const resetSeconds = z.number().positive().exactOptional();

const change = z.strictObject({
  properties: z.record(z.string(), z.string().nullable()).exactOptional(),
  isSuspended: z.boolean().exactOptional(),
  firstName: z.string().exactOptional(),
});

/** A fault sent over HTTP. Unknown fields are rejected: a misspelled scope would affect every call. */
export const faultSchema: z.ZodType<Fault> = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("latency"),
    ...call,
    ms: duration,
    when: z.enum(["before", "after"]).exactOptional(),
  }),
  z.strictObject({
    kind: z.literal("error"),
    ...call,
    status,
    code: z.string().exactOptional(),
    message: z.string().exactOptional(),
  }),
  z.strictObject({ kind: z.literal("too_many_requests"), ...call, resetSeconds }),
  z.strictObject({
    kind: z.literal("rate_limit"),
    ...call,
    calls: z.number().int().nonnegative(),
    windowMs: z.number().positive(),
  }),
  z.strictObject({ kind: z.literal("concurrency_limit"), ...call, max: z.number().int().nonnegative(), resetSeconds }),
  z.strictObject({ kind: z.literal("hang"), ...call }),
  z.strictObject({ kind: z.literal("reset"), ...call }),
  z.strictObject({ kind: z.literal("garbage"), ...call }),
  z.strictObject({ kind: z.literal("truncated"), ...call }),
  z.strictObject({ kind: z.literal("unknown_user"), ...call, status: z.union([z.literal(400), z.literal(404)]) }),
  z.strictObject({
    kind: z.literal("jwks_down"),
    ...limits,
    how: z.enum(["error", "hang", "reset", "garbage"]).exactOptional(),
    status: status.exactOptional(),
  }),
  z.strictObject({ kind: z.literal("search_lag"), ...limits, ms }),
  z.strictObject({ kind: z.literal("user_lag"), ...limits, ...user, ms }),
  z.strictObject({
    kind: z.literal("torn_read"),
    ...limits,
    ...user,
    answer: z.enum(["before", "after"]),
    change: change.exactOptional(),
    withinMs: z.number().nonnegative().exactOptional(),
  }),
  z.strictObject({
    kind: z.literal("duplicate_delivery"),
    ...delivery,
    copies: z.number().int().positive().exactOptional(),
  }),
  z.strictObject({ kind: z.literal("delay_delivery"), ...delivery, ms: duration }),
  z.strictObject({
    kind: z.literal("reorder_deliveries"),
    ...delivery,
    window: z.number().int().positive(),
    maxHoldMs: ms.exactOptional(),
  }),
  z.strictObject({ kind: z.literal("lose_delivery"), ...delivery }),
  z.strictObject({ kind: z.literal("lose_ack"), ...delivery }),
]);
