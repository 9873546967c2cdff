import type { Profile, ProfilePart } from "kindling/contract";
import { sameInstant } from "../kinde/answers.ts";
import { heldParts, storableParts } from "../kinde/keep-parts.ts";
import type { SearchedUser } from "../kinde/search-users.ts";
import type { StoredRecord } from "../redis/records.ts";

/** Options for {@link findDifference}. */
export interface CompareOptions {
  /** Parts of the profile that records keep. */
  keep: ReadonlySet<ProfilePart>;
  /** Whether to compare sign-in counts and times. False if sign-ins do not refresh users. */
  signIns: boolean;
}

/** Returns what is compared of a search result, in a fixed order. Without sign-ins, if they are not compared. */
export function comparedOf(searched: SearchedUser, { signIns }: Pick<CompareOptions, "signIns">): unknown {
  const { organizations, identities, properties, totalSignIns, failedSignIns, lastSignedIn, ...account } = searched;
  const texts = (entries: readonly unknown[]) => entries.map((entry) => JSON.stringify(entry)).sort();
  const shown = [account, texts(organizations), texts(identities), texts(Object.entries(properties))];
  return signIns ? [...shown, totalSignIns, failedSignIns, lastSignedIn] : shown;
}

const accountFields = ["providedId", "email", "username", "firstName", "lastName", "picture"] as const;
const instants = ["createdOn", "lastSignedIn"] as const;
const counts = ["totalSignIns", "failedSignIns"] as const;

/**
 * Returns the name of the first field in which a profile differs from the search result, or `undefined` if they match.
 * Never returns a value: values can be personal. A profile that lacks a part to keep differs too.
 */
export function findDifference(
  { flags, profile }: StoredRecord,
  searched: SearchedUser,
  { keep, signIns }: CompareOptions,
): string | undefined {
  if (flags === undefined) return "missing";
  if (flags.status === "deleted") return "deleted";
  if (profile === undefined) return "profile missing";
  const held = heldParts(profile);
  if ([...storableParts(keep)].some((part) => !held.has(part))) return "profile parts";
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
    (signIns ? counts.find((field) => profile[field] !== searched[field]) : undefined)
  );
}

// Kinde returns unset properties as null when fetching a user and omits them from search results.
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
