import type { Flags } from "kindling";
import type { FlagsRecord, Profile, ProfilePart } from "kindling/contract";
import type { Store } from "../compose/open-store.ts";
import type { LedgerEntry } from "../redis/ledger.ts";
import { refreshRequestId, reprocessId, settledId } from "../redis/queues.ts";
import { type FlagView, viewFlags } from "./view-flags.ts";

/** Everything Kindling knows about a user. Times in milliseconds. */
export interface Inspection {
  userId: string;
  /** `null`: there is none, or none that can be read. */
  record: RecordView | null;
  flags: FlagView[];
  /** `null`: every acknowledged event is reflected. */
  ledger: Pick<LedgerEntry, "since" | "ageMs" | "failure"> | null;
  jobs: JobView[];
  /** As stored; shown on demand, as it holds personal data. */
  profile: Profile | null;
}

/** A record, without its flags. */
export type RecordView = Omit<FlagsRecord, "flags"> & {
  ageMs: number;
  /** Whether it was derived by the flag definitions of here and now. */
  schemaMatches: boolean;
};

/** A job that waits or works for the user. */
export interface JobView {
  queue: "refresh" | "bulk";
  id: string;
  state: string;
  attempts: number;
}

/** What inspecting needs. */
export interface InspectOptions {
  store: Store;
  flags: Flags;
  /** Parts of the profile that records keep. */
  keep: ReadonlySet<ProfilePart>;
  now: number;
}

/** Looks a user up in records, ledger and queues. */
export async function inspectUser(userId: string, { store, flags, keep, now }: InspectOptions): Promise<Inspection> {
  const [stored, entry, jobs] = await Promise.all([
    store.records.read(userId),
    store.users.entry(userId),
    findJobs(store, userId),
  ]);
  return {
    userId,
    record: stored.flags === undefined ? null : viewRecord(stored.flags, flags, now),
    flags: viewFlags(stored, flags, keep),
    ledger: entry === undefined ? null : { since: entry.since, ageMs: entry.ageMs, failure: entry.failure },
    jobs,
    profile: stored.profile ?? null,
  };
}

function viewRecord({ flags: _values, ...record }: FlagsRecord, flags: Flags, now: number): RecordView {
  return { ...record, ageMs: now - record.fetchedAt, schemaMatches: record.schema === flags.schema };
}

async function findJobs({ queues }: Store, userId: string): Promise<JobView[]> {
  const places = [
    { name: "refresh", queue: queues.refresh, id: userId },
    { name: "refresh", queue: queues.refresh, id: reprocessId(userId) },
    { name: "refresh", queue: queues.refresh, id: settledId(userId) },
    { name: "refresh", queue: queues.refresh, id: refreshRequestId(userId) },
    { name: "bulk", queue: queues.bulk, id: userId },
    { name: "bulk", queue: queues.bulk, id: reprocessId(userId) },
    { name: "bulk", queue: queues.bulk, id: refreshRequestId(userId) },
  ] as const;
  const jobs = await Promise.all(
    places.map(async ({ name, queue, id }) => {
      const jobId = await queue.getDeduplicationJobId(id);
      const job = jobId === null ? undefined : await queue.getJob(jobId);
      return job === undefined || jobId === null
        ? []
        : [{ queue: name, id: jobId, state: await queue.getJobState(jobId), attempts: job.attemptsMade }];
    }),
  );
  return jobs.flat();
}
