import { isDeepStrictEqual } from "node:util";
import type { Definitions } from "kindling";
import { extraParts, type FlagsRecord, type Profile, type ProfilePart } from "kindling/contract";
import { type KeptProfile, keepParts } from "../kinde/keep-parts.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Written } from "../redis/ledger.ts";
import type { StoredRecord } from "../redis/records.ts";
import { addLiveOrganizations } from "../refresh/organizations.ts";
import { type AddOrganizations, type DerivedUser, fetchAndDerive } from "../refresh/refresh-user.ts";

/** One value that differs between the record and Kinde. */
export interface Difference {
  name: string;
  stored: unknown;
  live: unknown;
}

/** Comparison of a record with the user at Kinde. */
export interface LiveComparison {
  /** Whether the user exists at Kinde. */
  exists: boolean;
  same: boolean;
  flags: Difference[];
  /** Fields of the profile, with one entry per property. Values can be personal. */
  profile: Difference[];
}

/** A user as a refresh would commit it; `undefined` if Kinde does not have the user. */
export type LiveUser = DerivedUser | undefined;

/** Options for {@link fetchLive}. */
export interface FetchLiveOptions {
  api: ManagementApi;
  definitions: Definitions;
  keep: ReadonlySet<ProfilePart>;
  call: CallOptions;
  /** Recently written values that take precedence over Kinde's answer, as in a refresh. */
  written?: Written;
}

/** Fetches a user as a refresh does, without committing. */
export async function fetchLive(
  userId: string,
  { api, definitions, keep, call, written }: FetchLiveOptions,
): Promise<LiveUser> {
  const parts = new Set([...definitions.needs, ...extraParts.filter((part) => keep.has(part))]);
  const addOrganizations: AddOrganizations = (profile, wanted) => addLiveOrganizations(api, profile, wanted, call);
  return fetchAndDerive({ api, definitions, addOrganizations }, userId, parts, call, { ...(written && { written }) });
}

/** Compares a record with the user at Kinde. */
export function compareLive(
  { flags: record, profile }: StoredRecord,
  live: LiveUser,
  keep: ReadonlySet<ProfilePart>,
): LiveComparison {
  const recorded = record?.status === "present";
  if (live === undefined || !recorded) {
    return { exists: live !== undefined, same: (live !== undefined) === recorded, flags: [], profile: [] };
  }
  const flagDifferences = differences(flattenFlags(record), flattenFlags(live));
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

// One name for all organizations: a user can be in hundreds.
function flattenFlags({ flags, organizations }: Pick<FlagsRecord, "flags" | "organizations">): Values {
  return organizations === undefined ? flags : { ...flags, "(by organization)": organizations };
}

// Serialized like the stored profile: JSON drops undefined members, which must not count as a difference.
function flatten(profile: Profile | undefined): Values {
  if (profile === undefined) return {};
  const { properties, parts: _parts, ...fields } = JSON.parse(JSON.stringify(profile)) as KeptProfile;
  // Kinde returns unset properties as null when fetching a user and omits them from listings.
  const set = Object.entries(properties).filter(([, value]) => value !== null);
  const named = set.map(([key, value]) => [`properties.${key}`, value]);
  return { ...fields, ...Object.fromEntries(named) };
}
