/** The parts of a profile, as the setting `KINDLING_PROFILE` names them. */
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

/** A role or permission as a user holds it in an organization. Events about deleted ones name the id alone. */
export interface Grant {
  id: string;
  key: string;
}

/** A user's place in one organization. */
export interface Membership {
  /** `org_…` */
  code: string;
  roles: readonly Grant[];
  permissions: readonly Grant[];
}

/** A contract between a billing customer and a plan. */
export interface Agreement {
  id: string;
  planCode: string;
}

/** Everything Kindling keeps about a user, as of one refresh. Timestamps are Kinde's own strings. */
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
  /** Kinde's properties are strings; a boolean is `"true"` or `"false"`. */
  properties: Readonly<Record<string, string | null>>;
  organizations: readonly Membership[];
  /** `identity` (an e-mail address, a phone number, …) only where the settings keep it. */
  identities: readonly { type: string; identity?: string }[];
  billing: { customerId: string | null; agreements: readonly Agreement[] };
}

/** The parts that take calls beyond the two every refresh makes: two for each organization, one for billing. */
export const extraParts = ["roles", "permissions", "billing"] as const satisfies readonly ProfilePart[];
export type ExtraPart = (typeof extraParts)[number];

/** A user of whom nothing is known: what flags are derived from when there is no record. */
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
