import type { Definitions } from "kindling";
import {
  extraParts,
  type FlagDefinition,
  type FlagsRecord,
  PartMissing,
  type Profile,
  type ProfilePart,
  storedValue,
  withholdParts,
} from "kindling/contract";
import type { LedgerEntry } from "../redis/ledger.ts";
import type { StoredRecord } from "../redis/records.ts";
import { changedId, refreshRequestId, reprocessId, sweptId } from "../refresh/queues.ts";
import type { Store } from "../store.ts";

/** Everything Kindling stores about a user. Times are in milliseconds. */
export interface Inspection {
  userId: string;
  /** `null` if there is no readable record. */
  record: RecordView | null;
  flags: FlagView[];
  /** `null` if no acknowledged event is outstanding. */
  ledger: Pick<LedgerEntry, "since" | "ageMs" | "failure"> | null;
  jobs: JobView[];
  /** Contains personal data. */
  profile: Profile | null;
}

/** A record without its flags. */
export type RecordView = Omit<FlagsRecord, "flags" | "organizations"> & {
  ageMs: number;
  /** Whether the record was derived from the current definitions. */
  schemaMatches: boolean;
};

/** A queued or running job of the user. */
export interface JobView {
  queue: "refresh" | "bulk" | "requests" | "confirm";
  id: string;
  state: string;
  attempts: number;
}

/** Options for {@link inspectUser}. */
export interface InspectOptions {
  store: Store;
  definitions: Definitions;
  /** Parts of the profile that are stored. */
  keep: ReadonlySet<ProfilePart>;
  now: number;
}

/** Reads a user's record, ledger entry and jobs. */
export async function inspectUser(
  userId: string,
  { store, definitions, keep, now }: InspectOptions,
): Promise<Inspection> {
  const [stored, entry, jobs] = await Promise.all([
    store.records.read(userId),
    store.ledger.entry(userId),
    findJobs(store, userId),
  ]);
  return {
    userId,
    record: stored.flags === undefined ? null : viewRecord(stored.flags, definitions, now),
    flags: viewFlags(stored, definitions, keep),
    ledger:
      entry === undefined
        ? null
        : { since: Math.floor(entry.since / 1000), ageMs: entry.ageMs, failure: entry.failure },
    jobs,
    profile: stored.profile ?? null,
  };
}

function viewRecord(
  { flags: _values, organizations: _others, ...record }: FlagsRecord,
  definitions: Definitions,
  now: number,
): RecordView {
  return { ...record, ageMs: Math.max(0, now - record.fetchedAt), schemaMatches: record.schema === definitions.schema };
}

async function findJobs({ queues }: Store, userId: string): Promise<JobView[]> {
  const places = [
    { name: "refresh", queue: queues.refresh, id: userId },
    { name: "refresh", queue: queues.refresh, id: reprocessId(userId) },
    { name: "bulk", queue: queues.bulk, id: userId },
    { name: "bulk", queue: queues.bulk, id: reprocessId(userId) },
    { name: "bulk", queue: queues.bulk, id: sweptId(userId) },
    { name: "bulk", queue: queues.bulk, id: changedId(userId) },
    { name: "requests", queue: queues.requests, id: refreshRequestId(userId, "now") },
    { name: "requests", queue: queues.requests, id: refreshRequestId(userId, "later") },
    { name: "requests", queue: queues.requests, id: changedId(userId) },
    { name: "confirm", queue: queues.confirm, id: userId },
  ] as const;
  const jobs = await Promise.all(
    places.map(async ({ name, queue, id }) => {
      const jobId = await queue.getDeduplicationJobId(id);
      const job = jobId === null ? undefined : await queue.getJob(jobId);
      if (job === undefined || jobId === null) return [];
      const state = await queue.getJobState(jobId);
      return [
        { queue: name, id: jobId, state: state === "prioritized" ? "waiting" : state, attempts: job.attemptsMade },
      ];
    }),
  );
  return jobs.flat();
}

/** One flag of a user, with its source. */
export interface FlagView {
  name: string;
  /** Value in the record; absent if the record does not have the flag. */
  value?: unknown;
  /** Values in the user's organizations that differ from `value`, by code; only for flags of the current organization. */
  organizations?: Record<string, unknown>;
  /** Where the value comes from; `null` if the flag is no longer declared. */
  source: string | null;
  /** Why Kinde's value does not fit and the default is used. */
  misfit: string | null;
}

/** Matches a record's flags with their definitions. Derives them again from the stored profile to find misfits. */
export function viewFlags(
  { flags: record, profile }: StoredRecord,
  definitions: Definitions,
  keep: ReadonlySet<ProfilePart>,
): FlagView[] {
  const values = record?.flags ?? {};
  const stored =
    profile === undefined ? undefined : withholdParts(profile, new Set(extraParts.filter((p) => keep.has(p))));
  const declared = Object.entries(definitions.flags).map(
    ([name, definition]): FlagView => ({
      name,
      ...(name in values && { value: values[name] }),
      ...(definition.in === "current" &&
        record?.organizations && { organizations: valuesIn(record, definition, name) }),
      source: definition.source.replace(/\s+/g, " "),
      misfit: stored === undefined ? null : misfitOf(definition, stored),
    }),
  );
  const undeclared = Object.entries(values)
    .filter(([name]) => !(name in definitions.flags))
    .map(([name, value]): FlagView => ({ name, value, source: null, misfit: null }));
  return [...declared, ...undeclared];
}

function valuesIn(record: FlagsRecord, definition: FlagDefinition<unknown>, name: string): Record<string, unknown> {
  const values = Object.keys(record.organizations ?? {}).flatMap((code) => {
    const value = code === "*" ? undefined : storedValue(definition, name, record, code);
    return value === undefined || value === definition.fallback ? [] : [[code, value]];
  });
  return Object.fromEntries(values);
}

function misfitOf(definition: FlagDefinition<unknown>, profile: Profile): string | null {
  try {
    return definition.read(profile).misfit ?? null;
  } catch (error) {
    // KINDLING_PROFILE does not store the part that this flag reads.
    if (error instanceof PartMissing) return null;
    throw error;
  }
}
