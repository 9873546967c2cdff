import { z } from "zod";

/** A JSON document that a command prints with `--json`. */
export interface Document {
  /** Raised when a member is removed or changes its meaning. Members can be added at any time. */
  version: number;
  /** Members that it does not name are internal and not printed. */
  schema: z.ZodObject;
}

const count = z.int().nonnegative();
const text = z.string();
/** Milliseconds since the epoch. */
const instant = z.number();
const ms = z.number();
const share = z.number().min(0).max(1);
const flags = z.record(z.string(), z.unknown());
const cause = text;

const version1 = (shape: z.ZodRawShape): Document => ({ version: 1, schema: z.object(shape) });

const refusal = { code: text, message: text, failedAt: instant, attempts: count };
const failure = { ...refusal, final: z.boolean() };
const failed = z.union([
  z.object({ kind: z.enum(["user", "fanout"]), member: text, ...failure }),
  z.object({ kind: z.literal("push"), member: text, userId: text, ...refusal }),
]);
const webhook = z.object({ id: text, name: text, endpoint: text, eventTypes: z.array(text) });
const example = z.object({ userId: text, cause, fields: z.array(text) });

const counts = z.record(text, count);

/** Counts of a sweep, without its position. */
const sweep = z.object({
  startedAt: instant,
  finishedAt: instant.optional(),
  users: count,
  different: count,
  fields: counts.optional(),
  disputed: counts.optional(),
  derived: count,
  missing: count,
  filled: count,
  unlisted: count,
});

/** The last walk over roles, permissions or plans, and the one under way. */
const walk = z.object({
  withinMs: ms.nullable(),
  last: z
    .object({
      startedAt: instant,
      finishedAt: instant,
      calls: count,
      compared: count,
      different: count,
      disputed: count,
    })
    .nullable(),
  failed: z.object({ at: instant, reason: text }).nullable(),
  current: z.object({ startedAt: instant, calls: count, compared: count }).nullable(),
});

const queue = z.object({ waiting: count, active: count, delayed: count, paused: z.boolean() });
const ledger = z.object({ size: count, oldestAgeMs: ms, failed: count });
const readable = z.object({
  events: count,
  meanMs: ms.nullable(),
  within1s: share.nullable(),
  within10s: share.nullable(),
  within60s: share.nullable(),
  within5m: share.nullable(),
});
const silence = z.object({ forMs: ms, usualMs: ms, unusual: z.boolean(), ever: z.boolean() });
const webhookCheck = z.object({
  state: z.enum(["ok", "missing", "incomplete", "unknown"]),
  checkedAt: instant,
  endpoint: text.optional(),
  missingTypes: z.array(text).optional(),
  reason: text.optional(),
});
const audit = z.object({
  startedAt: instant,
  finishedAt: instant,
  checked: count,
  drifted: count,
  unsettled: count,
  failed: count,
  causes: counts,
  examples: z.array(example),
  rate: share,
  atMost: share,
});

const status: Document = version1({
  prefix: text,
  warnings: z.array(z.object({ code: text, message: text })),
  queues: z.record(text, queue),
  ledger: z.record(text, ledger),
  calls: z.object({ pausedMs: ms, inUse: count, available: count, limited: count, perMinute: count, atOnce: count }),
  redis: z.object({
    appendOnly: z.boolean().nullable(),
    fsync: z.enum(["always", "everysec", "no"]).nullable(),
    replicas: count.nullable(),
    required: count,
  }),
  records: z.object({ present: count, deleted: count, exact: z.boolean() }),
  absences: z.object({ users: count, suspendedSince: instant.nullable() }),
  sweep: z.object({
    completeSince: instant.nullable(),
    last: sweep.nullable(),
    current: sweep.nullable(),
    failed: z.object({ failedAt: instant, reason: text }).nullable(),
    next: instant.nullable(),
    overdueMs: ms,
    bound: z.object({ everyMs: ms, lateMs: ms, fetchMs: ms, lagMs: ms, withinMs: ms }).nullable(),
    walks: z.record(text, walk),
    recent: z.object({ users: count, checked: count, different: count, calls: count, withinMs: ms }).nullable(),
  }),
  events: z.record(text, z.union([count, counts])),
  refusedRequests: counts,
  droppedRefreshRequests: counts,
  freshness: z.object({
    readable: z.object({ lastDay: readable, ever: readable }),
    audit: audit.nullable(),
    audits: z.object({ checked: count, unsettled: count, failed: count, drift: counts }),
    silence: silence.nullable(),
    webhook: webhookCheck.nullable(),
  }),
  failedDeliveries: count,
  lastFailures: z.array(failed),
});

const difference = z.object({ name: text, stored: z.unknown().optional(), live: z.unknown().optional() });

/** Every document, by the command that prints it. */
export const documents = {
  status,
  inspect: version1({
    userId: text,
    record: z
      .object({
        status: z.enum(["present", "deleted"]),
        ticket: z.number(),
        fetchedAt: instant,
        accountAt: instant.optional(),
        keptTicket: z.number().optional(),
        ageMs: ms,
        schema: text,
        schemaMatches: z.boolean(),
      })
      .nullable(),
    flags: z.array(
      z.object({
        name: text,
        value: z.unknown().optional(),
        organizations: z.record(text, z.unknown()).optional(),
        source: text.nullable(),
        misfit: text.nullable(),
      }),
    ),
    ledger: z.object({ since: instant, ageMs: ms, failure: z.object(failure).optional() }).nullable(),
    jobs: z.array(z.object({ queue: text, state: text, attempts: count })),
    profile: z.unknown().optional(),
    live: z
      .object({
        exists: z.boolean(),
        same: z.boolean(),
        flags: z.array(difference),
        profile: z.array(difference),
      })
      .optional(),
  }),
  set: version1({
    userId: text,
    flags,
    ticket: z.number(),
    fetchedAt: instant,
    misfits: z.array(z.object({ flag: text, reason: text })),
  }),
  failed: version1({ failures: z.array(failed) }),
  failedRetry: version1({ retried: z.array(text), missing: z.array(text) }),
  failedDiscard: version1({ discarded: z.array(text), missing: z.array(text) }),
  verify: version1({
    scope: z.enum(["sample", "all"]),
    complete: z.boolean(),
    checked: count,
    drifted: count,
    unsettled: count,
    failed: count,
    causes: counts,
    examples: z.array(example),
    rate: share,
    atMost: share.optional(),
    repaired: count,
  }),
  webhookList: version1({ webhooks: z.array(webhook.extend({ ours: z.boolean() })) }),
  webhookRegister: version1({
    action: z.enum(["created", "repaired", "renewed", "unchanged"]),
    webhook,
    added: z.array(text),
    replaced: z.array(text),
    others: z.array(webhook),
  }),
  webhookDelete: version1({ deleted: text }),
  sweep: version1({ started: z.boolean(), finished: sweep.optional() }),
  backfill: version1({
    users: count,
    filled: count,
    enqueued: count,
    calls: count,
    resumedAt: count,
    complete: z.boolean(),
  }),
  reprocess: version1({
    enqueued: count,
    fanouts: count.optional(),
    queue: text,
    complete: z.boolean(),
    resumedAt: count.optional(),
  }),
  forgetToken: version1({ deleted: count }),
  export: version1({ exported: count, skipped: count }),
  import: version1({ imported: count, kept: count }),
  erase: version1({
    userId: text,
    erased: counts,
    searched: count,
    found: z.array(text),
  }),
  doctor: version1({
    ok: z.boolean(),
    checks: z.array(
      z.object({
        name: text,
        status: z.enum(["ok", "warning", "failed", "skipped"]),
        message: text,
        remedy: text.optional(),
      }),
    ),
  }),
} satisfies Record<string, Document>;

/** Returns the document of a result: its version and the members that the schema names. */
export function toDocument({ version, schema }: Document, result: unknown): Record<string, unknown> {
  return { v: version, ...schema.parse(result) };
}

/** Returns the JSON Schema of each document, by command. */
export function documentSchemas(): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries<Document>(documents).map(([name, { version, schema }]) => [
      name,
      z.toJSONSchema(schema.extend({ v: z.literal(version) })),
    ]),
  );
}
