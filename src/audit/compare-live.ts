import type { Definitions } from "kindling";
import { extraParts, type FlagsRecord, type Profile, type ProfilePart } from "kindling/contract";
import { sameInstant } from "../kinde/answers.ts";
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
    .filter((name) => !sameValue(name, stored[name], live[name]))
    .map((name) => ({ name, stored: stored[name] ?? null, live: live[name] ?? null }));
}

/**
 * Returns whether two values of a flag or of a field of the profile are equal. The order of a list says nothing: records that
 * were filled from Kinde's lists have another one than Kinde's answer about a single user.
 */
export function sameValue(name: string, one: unknown, other: unknown): boolean {
  if (typeof one === "string" && typeof other === "string" && instants.has(name)) return sameInstant(one, other);
  return textOf(one) === textOf(other);
}

const instants: ReadonlySet<string> = new Set(["createdOn", "lastSignedIn"] satisfies (keyof Profile)[]);

/** Returns a value as text that does not depend on the order of lists and members. */
function textOf(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(textOf).sort()}]`;
  const members = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}:${textOf(member)}`);
  return `{${members.sort()}}`;
}

/** Name of the difference of the flags of the current organization: one for all, as a user can be in hundreds. */
export const byOrganization = "(by organization)";

function flattenFlags({ flags, organizations }: Pick<FlagsRecord, "flags" | "organizations">): Values {
  return asStored(organizations === undefined ? flags : { ...flags, [byOrganization]: organizations });
}

function flatten(profile: Profile | undefined): Values {
  if (profile === undefined) return {};
  const { properties, parts: _parts, ...fields } = asStored(profile as KeptProfile);
  // Kinde returns unset properties as null when fetching a user and omits them from listings.
  const set = Object.entries(properties).filter(([, value]) => value !== null);
  const named = set.map(([key, value]) => [`properties.${key}`, value]);
  return { ...fields, ...Object.fromEntries(named) };
}

/** Returns a value as Redis holds it: JSON drops undefined members, which must not count as a difference. */
function asStored<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
