import { isDeepStrictEqual } from "node:util";
import type { Definitions } from "kindling";
import { extraParts, type Profile, type ProfilePart } from "kindling/contract";
import { keepParts } from "../kinde/keep-parts.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Written } from "../redis/ledger.ts";
import type { StoredRecord } from "../redis/records.ts";
import { fetchAndDerive } from "../refresh/refresh-user.ts";

/** One value that is not the same in the record and at Kinde. */
export interface Difference {
  name: string;
  stored: unknown;
  live: unknown;
}

/** The record beside what Kinde says now. */
export interface LiveComparison {
  /** Whether Kinde has the user. */
  exists: boolean;
  same: boolean;
  flags: Difference[];
  /** Fields of the profile, properties one by one. Values may be personal. */
  profile: Difference[];
}

/** A user as a refresh would commit it; `undefined`: Kinde has none. */
export type LiveUser = { profile: Profile; flags: Record<string, unknown> } | undefined;

/** What fetching for a comparison needs. */
export interface FetchLiveOptions {
  api: ManagementApi;
  flags: Definitions;
  keep: ReadonlySet<ProfilePart>;
  call: CallOptions;
  /** Values to take before Kinde's answer, as a refresh does. */
  written?: Written;
}

/** Fetches the user just as a refresh would, and commits nothing. */
export async function fetchLive(
  userId: string,
  { api, flags, keep, call, written }: FetchLiveOptions,
): Promise<LiveUser> {
  const parts = new Set([...flags.needs, ...extraParts.filter((part) => keep.has(part))]);
  return fetchAndDerive({ api, flags }, userId, parts, call, written);
}

/** Where a record differs from the user at Kinde. */
export function compareLive(
  { flags: record, profile }: StoredRecord,
  live: LiveUser,
  keep: ReadonlySet<ProfilePart>,
): LiveComparison {
  const recorded = record?.status === "present";
  if (live === undefined || !recorded) {
    return { exists: live !== undefined, same: (live !== undefined) === recorded, flags: [], profile: [] };
  }
  const flagDifferences = differences(record.flags, live.flags);
  const profileDifferences = differences(flatten(profile), flatten(keepParts(live.profile, keep)));
  return {
    exists: true,
    same: flagDifferences.length + profileDifferences.length === 0,
    flags: flagDifferences,
    profile: profileDifferences,
  };
}

type Values = Readonly<Record<string, unknown>>;

function differences(stored: Values, live: Values): Difference[] {
  return [...new Set([...Object.keys(stored), ...Object.keys(live)])]
    .filter((name) => !isDeepStrictEqual(stored[name], live[name]))
    .map((name) => ({ name, stored: stored[name] ?? null, live: live[name] ?? null }));
}

// Through JSON, as the stored one went: what is absent there must not count as a difference here.
function flatten(profile: Profile | undefined): Values {
  if (profile === undefined) return {};
  const { properties, ...fields } = JSON.parse(JSON.stringify(profile)) as Profile;
  // A user's own properties come with the unset ones as null, those of a list without.
  const set = Object.entries(properties).filter(([, value]) => value !== null);
  const named = set.map(([key, value]) => [`properties.${key}`, value]);
  return { ...fields, ...Object.fromEntries(named) };
}
