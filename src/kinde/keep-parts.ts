import { blankProfile, type Profile, type ProfilePart } from "kindling/contract";

/**
 * Returns the profile with only the given parts, ready to store. `account` covers names, email address, phone number and
 * sign-in figures. `isSuspended` is always kept: the state of an account is not personal data.
 */
export function keepParts(profile: Profile, parts: ReadonlySet<ProfilePart>): Profile {
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
  };
}
