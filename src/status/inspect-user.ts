import type { Definitions } from "kindling";
import {
  extraParts,
  type FlagDefinition,
  type FlagsRecord,
  PartMissing,
  type Profile,
  type ProfilePart,
  withholdParts,
} from "kindling/contract";
import type { LedgerEntry } from "../redis/ledger.ts";
import type { StoredRecord } from "../redis/records.ts";
import { refreshRequestId, reprocessId, settledId } from "../refresh/queues.ts";
import type { Store } from "../store.ts";

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
  flags: Definitions;
  /** Parts of the profile that records keep. */
  keep: ReadonlySet<ProfilePart>;
  now: number;
}

/** Looks a user up in records, ledger and queues. */
export async function inspectUser(userId: string, { store, flags, keep, now }: InspectOptions): Promise<Inspection> {
  const [stored, entry, jobs] = await Promise.all([
    store.records.read(userId),
    store.ledger.entry(userId),
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

function viewRecord({ flags: _values, ...record }: FlagsRecord, flags: Definitions, now: number): RecordView {
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

/** One flag of a user. */
export interface FlagView {
  name: string;
  /** In the record; absent when the record does not have it. */
  value?: unknown;
  /** Where it comes from; `null` for one that is not declared any more. */
  source: string | null;
  /** What was found instead of a fitting value, so that the default stands in. */
  misfit: string | null;
}

/** The flags of a record beside their definitions. Misfits come from deriving again from the stored profile. */
export function viewFlags(
  { flags: record, profile }: StoredRecord,
  flags: Definitions,
  keep: ReadonlySet<ProfilePart>,
) {
  const values = record?.flags ?? {};
  const seen =
    profile === undefined ? undefined : withholdParts(profile, new Set(extraParts.filter((p) => keep.has(p))));
  const declared = Object.entries(flags.flags).map(
    ([name, definition]): FlagView => ({
      name,
      ...(name in values && { value: values[name] }),
      source: definition.source.replace(/\s+/g, " "),
      misfit: seen === undefined ? null : misfitOf(definition, seen),
    }),
  );
  const undeclared = Object.entries(values)
    .filter(([name]) => !(name in flags.flags))
    .map(([name, value]): FlagView => ({ name, value, source: null, misfit: null }));
  return [...declared, ...undeclared];
}

function misfitOf(definition: FlagDefinition<unknown>, profile: Profile): string | null {
  try {
    return definition.read(profile).misfit ?? null;
  } catch (error) {
    // The settings do not keep what this flag is derived from, so nothing can be said.
    if (error instanceof PartMissing) return null;
    throw error;
  }
}
