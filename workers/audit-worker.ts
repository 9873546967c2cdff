import type { Job } from "bullmq";
import { auditStep, beginAudit } from "../src/audit/audit.ts";
import type { AuditJob, AuditLog, AuditQueue } from "../src/audit/audit-log.ts";
import type { AuditVerdict } from "../src/audit/audit-user.ts";
import { storedAudit } from "../src/audit/stored-audit.ts";
import type { CallOptions } from "../src/kinde/management-api.ts";
import type { RefreshQueues } from "../src/refresh/queues.ts";
import type { WebhookCheck } from "../src/webhook/check-registration.ts";
import { createWorker, handBackIfClosing, type WorkerDeps } from "./create-worker.ts";

/** Dependencies of {@link createAuditWorker}. */
export interface AuditWorkerOptions {
  queues: Pick<RefreshQueues, "enqueueReprocess"> & AuditQueue;
  audits: AuditLog;
  /** Draws the random sample of users to check. */
  drawSample: () => Promise<string[]>;
  auditUser: (userId: string, call: CallOptions) => Promise<AuditVerdict>;
  checkWebhook: (call: CallOptions) => Promise<WebhookCheck>;
}

/** Creates the audit worker, which measures drift. The job keeps the state, so that any process can resume the audit. */
export function createAuditWorker(options: AuditWorkerOptions, deps: WorkerDeps) {
  const { queues } = options;
  return createWorker<AuditJob>(deps, {
    queue: queues.audit,
    concurrency: 2,
    member: () => "audit",
    async process(job) {
      if (job.name === "tick") await queues.enqueueAudit();
      else await audit(options, deps, job);
    },
  });
}

async function audit(options: AuditWorkerOptions, deps: WorkerDeps, job: Job<AuditJob>): Promise<void> {
  const { now, log, signal } = deps;
  const { queues, audits, drawSample, auditUser } = options;
  const call = { priority: "bulk", signal } as const;
  let state = storedAudit.parse(job.data.state);
  if (state === undefined) {
    if (job.data.state !== undefined)
      log.warn({ job: job.id }, "audit restarts: this release cannot read its progress");
    await recordWebhookCheck(options, log, call);
    state = beginAudit(await drawSample(), now());
  }
  while (state.rest.length > 0) {
    await job.updateData({ state: storedAudit.versioned(state), forgiven: job.attemptsMade });
    await handBackIfClosing(deps, job);
    const step = await auditStep(auditUser, state, call);
    await queues.enqueueReprocess(step.refresh, "bulk", "audit");
    state = step.state;
  }
  await audits.finish(state, now());
  const { rest: _rest, examples, ...counts } = state;
  if (state.drifted > 0) log.warn({ ...counts, examples }, "drift found: the users are refreshed");
  else log.info(counts, state.checked === 0 ? "audit compared no record" : "audit found no drift");
}

async function recordWebhookCheck(
  { audits, checkWebhook }: AuditWorkerOptions,
  log: WorkerDeps["log"],
  call: CallOptions,
): Promise<void> {
  const check = await checkWebhook(call);
  await audits.noteWebhook(check);
  if (check.state !== "ok") log.warn({ ...check }, "webhook at Kinde is missing, incomplete or could not be checked");
}
