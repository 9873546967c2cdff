import type { Definitions } from "kindling";
import { blankProfile, type Profile, type ProfilePart, profileParts } from "kindling/contract";

/** A profile as records store it. */
export interface KeptProfile extends Profile {
  /**
   * The parts it holds, one bit for each in the order of {@link profileParts}: a list would take 7 % of a record. The
   * members of other parts say nothing about the user.
   */
  parts: number;
}

/**
 * Returns the profile with only the given parts, ready to store. `account` covers names, email address, phone number and
 * sign-in figures. `isSuspended` is always kept: the state of an account is not personal data.
 */
export function keepParts(profile: Profile, keep: ReadonlySet<ProfilePart>): KeptProfile {
  const isKept = (part: ProfilePart) => isStorable(part, keep);
  const { id, isSuspended, properties, organizations, identities, billing } = profile;
  return {
    // First, because V8 adds members to a copy slowly.
    parts: profileParts.reduce((bits, part) => (isKept(part) ? bits | bitOf(part) : bits), 0),
    ...(isKept("account") ? profile : { ...blankProfile(id), isSuspended }),
    properties: isKept("properties") ? properties : {},
    organizations: isKept("organizations")
      ? organizations.map(({ code, roles, permissions }) => ({
          code,
          roles: isKept("roles") ? roles : [],
          permissions: isKept("permissions") ? permissions : [],
        }))
      : [],
    identities: isKept("identities") ? identities : identities.map(({ type }) => ({ type })),
    billing: isKept("billing") ? billing : { customerId: null, agreements: [] },
  };
}

/**
 * Returns the parts that records keep: those of the setting, and the codes of organizations if a flag has a value for each of
 * them. Without the codes, a sweep could not tell that a user has joined one.
 */
export function partsToKeep(setting: ReadonlySet<ProfilePart>, { flags }: Pick<Definitions, "flags">) {
  const inOrganizations = Object.values(flags).some((definition) => definition.in === "current");
  return inOrganizations ? new Set<ProfilePart>([...setting, "organizations"]) : setting;
}

/** Returns the parts that a record can hold if these are to be kept. */
export function storableParts(keep: ReadonlySet<ProfilePart>): ReadonlySet<ProfilePart> {
  return new Set(profileParts.filter((part) => isStorable(part, keep)));
}

// Roles and permissions live in organizations.
function isStorable(part: ProfilePart, keep: ReadonlySet<ProfilePart>): boolean {
  return keep.has(part) && ((part !== "roles" && part !== "permissions") || keep.has("organizations"));
}

/** Returns the parts that a stored profile holds: none that are known if an older release wrote it. */
export function heldParts(profile: Profile): ReadonlySet<ProfilePart> {
  const bits = Number((profile as Partial<KeptProfile>).parts ?? 0);
  return new Set(profileParts.filter((part) => (bits & bitOf(part)) !== 0));
}

/** Returns the profile as one that holds these parts too. */
export function withHeldParts(profile: Profile, parts: readonly ProfilePart[]): KeptProfile {
  const held = new Set([...heldParts(profile), ...parts]);
  return { ...profile, parts: [...held].reduce((bits, part) => bits | bitOf(part), 0) };
}

/** Returns the profile as one that does not hold this part. */
export function withoutHeldPart(profile: Profile, part: ProfilePart): KeptProfile {
  return { ...profile, parts: Number((profile as Partial<KeptProfile>).parts ?? 0) & ~bitOf(part) };
}

function bitOf(part: ProfilePart): number {
  return 1 << profileParts.indexOf(part);
}
