import type { Profile, ProfilePart } from "kindling/contract";
import type { SearchedUser } from "../kinde/search-users.ts";
import type { StoredRecord } from "../redis/records.ts";

/** What a record is compared by. */
export interface CompareOptions {
  /** Parts of the profile that records keep. */
  keep: ReadonlySet<ProfilePart>;
  /** Fingerprint of the flag definitions in force. */
  schema: string;
  /** Whether sign-in figures count: not where logins do not refresh their users. */
  signIns: boolean;
}

const accountFields = ["providedId", "email", "username", "firstName", "lastName", "picture"] as const;
const instants = ["createdOn", "lastSignedIn"] as const;
const figures = ["totalSignIns", "failedSignIns"] as const;

/**
 * The first difference between a user's record and what the search shows of the user; `undefined` when there is none.
 * The answer names a field and never a value.
 */
export function findDifference(
  { flags, profile }: StoredRecord,
  searched: SearchedUser,
  { keep, schema, signIns }: CompareOptions,
): string | undefined {
  if (flags === undefined) return "missing";
  if (flags.status === "deleted") return "deleted";
  if (profile === undefined) return "profile missing";
  if (flags.schema !== schema) return "flag definitions";
  if (profile.isSuspended !== searched.isSuspended) return "isSuspended";
  return (
    (keep.has("account") ? findAccountDifference(profile, searched, signIns) : undefined) ??
    (keep.has("properties") && !sameProperties(profile.properties, searched.properties) ? "properties" : undefined) ??
    (keep.has("organizations") && !sameSet(codes(profile), searched.organizations) ? "organizations" : undefined) ??
    (sameSet(profile.identities.map(identity(keep)), searched.identities.map(identity(keep)))
      ? undefined
      : "identities")
  );
}

function findAccountDifference(profile: Profile, searched: SearchedUser, signIns: boolean): string | undefined {
  return (
    accountFields.find((field) => profile[field] !== searched[field]) ??
    instants
      .filter((field) => signIns || field !== "lastSignedIn")
      .find((field) => !sameInstant(profile[field], searched[field])) ??
    (signIns ? figures.find((field) => profile[field] !== searched[field]) : undefined)
  );
}

// Two of Kinde's answers may write one instant with different offsets.
function sameInstant(one: string | null, other: string | null): boolean {
  return one === other || (one !== null && other !== null && Date.parse(one) === Date.parse(other));
}

// The user's own call lists unset properties as null, the search leaves them out.
function sameProperties(one: Profile["properties"], other: Profile["properties"]): boolean {
  const set = (properties: Profile["properties"]) => Object.keys(properties).filter((key) => properties[key] !== null);
  const keys = set(one);
  return keys.length === set(other).length && keys.every((key) => one[key] === other[key]);
}

function codes({ organizations }: Profile): string[] {
  return organizations.map(({ code }) => code);
}

function identity(keep: ReadonlySet<ProfilePart>) {
  return (entry: Profile["identities"][number]) =>
    keep.has("identities") ? `${entry.type}\n${entry.identity ?? ""}` : entry.type;
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  if (one.length !== other.length) return false;
  const rest = [...other].sort();
  return [...one].sort().every((entry, index) => entry === rest[index]);
}
