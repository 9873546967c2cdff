import type { Job } from "bullmq";
import { type AuditState, auditStep, beginAudit } from "../src/audit/audit.ts";
import type { AuditJob, AuditLog, AuditQueue } from "../src/audit/audit-log.ts";
import type { AuditVerdict } from "../src/audit/audit-user.ts";
import type { CallOptions } from "../src/kinde/management-api.ts";
import type { RefreshQueues } from "../src/refresh/queues.ts";
import type { WebhookCheck } from "../src/webhook/check-registration.ts";
import { createWorker, handBackIfClosing, type WorkerDeps } from "./create-worker.ts";

/** What the audit's worker needs. */
export interface AuditWorkerOptions {
  queues: Pick<RefreshQueues, "enqueueReprocess"> & AuditQueue;
  audits: AuditLog;
  /** Users drawn at random, as many as an audit looks at. */
  drawSample: () => Promise<string[]>;
  auditUser: (userId: string, call: CallOptions) => Promise<AuditVerdict>;
  checkWebhook: (call: CallOptions) => Promise<WebhookCheck>;
}

/** The worker that measures how far records are from Kinde; its state is kept in the job, as a sweep's is. */
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
  // One that an older version began may lack a count.
  let state: AuditState | undefined = job.data.state && { ...beginAudit([], now()), ...job.data.state };
  if (state === undefined) {
    await lookAtWebhook(options, log, call);
    state = beginAudit(await drawSample(), now());
  }
  while (state.rest.length > 0) {
    await job.updateData({ state, forgiven: job.attemptsMade });
    await handBackIfClosing(deps, job);
    const step = await auditStep(auditUser, state, call);
    await queues.enqueueReprocess(step.refresh);
    state = step.state;
  }
  await audits.finish(state, now());
  const { rest: _none, examples, ...figures } = state;
  if (state.drifted > 0) log.warn({ ...figures, examples }, "records differ from Kinde: they are refreshed");
  else log.info(figures, "audit found no drift");
}

async function lookAtWebhook({ audits, checkWebhook }: AuditWorkerOptions, log: WorkerDeps["log"], call: CallOptions) {
  const check = await checkWebhook(call);
  await audits.noteWebhook(check);
  if (check.state !== "ok") log.warn({ ...check }, "our webhook at Kinde is not as it should be");
}
