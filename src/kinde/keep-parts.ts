import { blankProfile, type Profile, type ProfilePart } from "kindling/contract";

/**
 * The profile as it is stored: without the parts the settings leave out. `account` covers names, e-mail address, phone
 * and sign-in figures; `isSuspended` always stays, as an account's state is no personal detail.
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
