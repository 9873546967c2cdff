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
  const parts = storableParts(keep);
  const blank = blankProfile(profile.id);
  const account = parts.has("account") ? profile : { ...blank, isSuspended: profile.isSuspended };
  return {
    ...account,
    properties: parts.has("properties") ? profile.properties : blank.properties,
    organizations: parts.has("organizations")
      ? profile.organizations.map(({ code, roles, permissions }) => ({
          code,
          roles: parts.has("roles") ? roles : [],
          permissions: parts.has("permissions") ? permissions : [],
        }))
      : blank.organizations,
    identities: parts.has("identities") ? profile.identities : profile.identities.map(({ type }) => ({ type })),
    billing: parts.has("billing") ? profile.billing : blank.billing,
    parts: [...parts].reduce((bits, part) => bits | bitOf(part), 0),
  };
}

/** Returns the parts that a record can hold if these are to be kept: roles and permissions live in organizations. */
export function storableParts(keep: ReadonlySet<ProfilePart>): ReadonlySet<ProfilePart> {
  const storable = (part: ProfilePart) =>
    keep.has(part) && ((part !== "roles" && part !== "permissions") || keep.has("organizations"));
  return new Set(profileParts.filter(storable));
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
