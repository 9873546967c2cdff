const userIdPattern = /^kp[_:][0-9A-Za-z]{1,64}$/;

/** Returns whether a value is a Kinde user id: `kp_` or `kp:`, then 1 to 64 letters and digits. */
export function isUserId(value: unknown): value is string {
  return typeof value === "string" && userIdPattern.test(value);
}

/** The parts of a profile, as named by the setting `KINDLING_PROFILE`. Records store positions in this list: append only. */
export const profileParts = [
  "account",
  "properties",
  "organizations",
  "roles",
  "permissions",
  "billing",
  "identities",
] as const;

/** One of {@link profileParts}. */
export type ProfilePart = (typeof profileParts)[number];

/** A role or permission that a user holds in an organization. Both members exist because deletion events carry the id only. */
export interface Grant {
  id: string;
  key: string;
}

/** A user's membership in one organization. */
export interface Membership {
  /** The organization's code, `org_…`. */
  code: string;
  roles: readonly Grant[];
  permissions: readonly Grant[];
  /** The organization's own property values by key. Fetched only if a flag reads them; records do not store them. */
  properties?: Readonly<Record<string, string | null>>;
  /** The organization's own billing agreements. Fetched only if a flag reads them; records do not store them. */
  agreements?: readonly Agreement[];
}

/** A billing customer's agreement for a plan. */
export interface Agreement {
  id: string;
  planCode: string;
}

/**
 * Everything Kindling keeps about a user, as of one refresh: the argument of flag functions. Parts that the service's
 * setting `KINDLING_PROFILE` leaves out are empty or `null`. Timestamps are Kinde's own strings.
 *
 * @example
 * ```ts
 * import { defineFlags, type Profile } from "kindling";
 *
 * const isMember = ({ organizations }: Profile) => organizations.length > 0;
 *
 * export default defineFlags({ isMember });
 * ```
 */
export interface Profile {
  id: string;
  providedId: string | null;
  email: string | null;
  phone: string | null;
  username: string | null;
  firstName: string | null;
  lastName: string | null;
  picture: string | null;
  isSuspended: boolean;
  totalSignIns: number | null;
  failedSignIns: number | null;
  lastSignedIn: string | null;
  createdOn: string | null;
  /**
   * Values by property key. Kinde stores text; a boolean is `"true"` or `"false"`.
   *
   * @see https://docs.kinde.com/properties/work-with-properties/manage-properties/
   */
  properties: Readonly<Record<string, string | null>>;
  organizations: readonly Membership[];
  /** `identity` (an email address, a phone number, …) is present only if `KINDLING_PROFILE` includes `identities`. */
  identities: readonly { type: string; identity?: string }[];
  billing: { customerId: string | null; agreements: readonly Agreement[] };
}

/** The parts that cost API calls beyond the two of every refresh: two for each organization, one for billing. */
export const extraParts = ["roles", "permissions", "billing"] as const satisfies readonly ProfilePart[];
/** The parts that belong to a user's organizations. Fetched once for all members, and only if a flag reads them. */
export const organizationParts = ["organizationProperties", "organizationAgreements"] as const;
/** One of {@link organizationParts}. */
export type OrganizationPart = (typeof organizationParts)[number];
/** A part that costs extra API calls. */
export type ExtraPart = (typeof extraParts)[number] | OrganizationPart;

/** Returns the profile of an unknown user. A flag function's default is its answer for this profile. */
export function blankProfile(id = ""): Profile {
  return {
    id,
    providedId: null,
    email: null,
    phone: null,
    username: null,
    firstName: null,
    lastName: null,
    picture: null,
    isSuspended: false,
    totalSignIns: null,
    failedSignIns: null,
    lastSignedIn: null,
    createdOn: null,
    properties: {},
    organizations: [],
    identities: [],
    billing: { customerId: null, agreements: [] },
  };
}
