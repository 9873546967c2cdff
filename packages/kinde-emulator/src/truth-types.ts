/** State of the emulated tenant, as `emulator.kinde` returns and accepts it. */

/** A user's membership in one organization. Roles and permissions are keys, not ids. */
export interface TruthMembership {
  /** Organization code. */
  code: string;
  /** Keys of the user's roles. */
  roles: string[];
  /** Keys of all effective permissions, direct or through a role, sorted. */
  permissions: string[];
  /** Keys of the permissions granted directly. */
  directPermissions: string[];
}

/** Kinds of {@link Identity}. */
export type IdentityType = "email" | "username" | "phone" | "social" | "enterprise";

/** One of the ways in which a user can sign in. */
export interface Identity {
  id: string;
  userId: string;
  type: IdentityType;
  /** The email address, username, phone number, or the user's name at the connection. */
  identity: string;
  /** Connection of a social or enterprise identity, otherwise null. */
  connectionId: string | null;
  /** One identity of each type is primary. The account shows the primary email address, username and phone number. */
  isPrimary: boolean;
  /** ISO 8601. */
  createdOn: string;
}

/** An invitation to an organization. */
export interface Invitation {
  id: string;
  /** Sent to the invited person. It is pending until it is accepted or revoked. */
  code: string;
  /** Code of the organization. */
  organization: string;
  email: string;
  firstName: string | null;
  lastName: string | null;
  /** Keys of the roles that the user gets. */
  roles: string[];
  /** Whether Kinde would have sent an email. The emulator sends none. */
  isSent: boolean;
  isRevoked: boolean;
  /** ISO 8601, or null. */
  acceptedOn: string | null;
  /** ISO 8601. */
  createdOn: string;
}

/** An invitation to create. */
export interface InvitationInput {
  email: string;
  firstName?: string | null;
  lastName?: string | null;
  /** Keys of existing roles. Default: none. */
  roles?: readonly string[];
  /** Default `false`. */
  isSent?: boolean;
}

/** A billing agreement in effect. */
export interface TruthAgreement {
  id: string;
  planCode: string;
  /** ISO 8601. */
  startedOn: string;
  billingGroupId: string;
  entitlements: { featureCode: string; entitlementId: string }[];
}

/** The complete state of a user. */
export interface TruthUser {
  /** Kinde id: `kp_` and 32 hexadecimal digits, unless it was given in {@link UserInput}. */
  id: string;
  providedId: string | null;
  email: string | null;
  phone: string | null;
  username: string | null;
  firstName: string | null;
  lastName: string | null;
  isSuspended: boolean;
  isPasswordResetRequested: boolean;
  picture: string | null;
  totalSignIns: number;
  failedSignIns: number;
  /** ISO 8601, or null before the first sign-in. */
  lastSignedIn: string | null;
  /** ISO 8601. */
  createdOn: string;
  /** Values by property key. Unset properties are absent. */
  properties: Record<string, string>;
  organizations: TruthMembership[];
  identities: { type: IdentityType; identity: string }[];
  /** Null if the user is not a billing customer. */
  billing: { customerId: string; agreements: TruthAgreement[] } | null;
}

/** An organization. */
export interface Org {
  code: string;
  name: string;
  handle: string | null;
  externalId: string | null;
  /** True for the tenant's first organization. */
  isDefault: boolean;
  /** Users who sign up or sign in to the organization join it. */
  isAllowRegistrations: boolean;
  /** Users with an email address of one of the organization's domains join it when they sign up. Stored only. */
  isAutoMembershipEnabled: boolean;
  /** Nobody can sign in to a suspended organization. */
  isSuspended: boolean;
  /** ISO 8601. */
  suspendedOn: string | null;
  /** ISO 8601. */
  createdOn: string;
}

/** A role. `permissions` are keys. */
export interface Role {
  id: string;
  key: string;
  name: string;
  description: string;
  isDefaultRole: boolean;
  permissions: string[];
}

/** A permission. */
export interface Permission {
  id: string;
  key: string;
  name: string;
  description: string;
}

/** A category of properties. */
export interface PropertyCategory {
  id: string;
  name: string;
  context: PropertyDefinition["context"];
}

/** The definition of a property. */
export interface PropertyDefinition {
  id: string;
  key: string;
  name: string;
  description: string;
  isPrivate: boolean;
  isKindeProperty: boolean;
  /** `usr`: property of a user, `org`: of an organization, `app`: of an application. */
  context: "usr" | "org" | "app";
  /** Null for properties that were not given one. */
  categoryId: string | null;
}

/** The value of a feature flag. */
export type FeatureFlagValue = string | number | boolean;

/** A feature flag. Its most specific value applies: the user's, the organization's, the environment's, or the default. */
export interface FeatureFlag {
  id: string;
  key: string;
  name: string;
  description: string;
  /** `int` values are whole numbers. */
  type: "str" | "int" | "bool";
  defaultValue: FeatureFlagValue;
  /** The most specific level on which the flag can be set. */
  allowOverrideLevel: "env" | "org" | "usr";
}

/** A user to create or import. Omitted names and email address are generated; other omitted fields are empty. */
export interface UserInput {
  /** Default: a random id in Kinde's format. */
  id?: string;
  providedId?: string | null;
  email?: string | null;
  phone?: string | null;
  username?: string | null;
  firstName?: string | null;
  lastName?: string | null;
  picture?: string | null;
  isSuspended?: boolean;
  /** Values by property key. Each property must be defined. */
  properties?: Record<string, string>;
  /**
   * Codes of existing organizations, optionally with the keys of existing roles and permissions. Default: none for
   * `createUser`, the default organization with the default roles for `importUsers`.
   */
  organizations?: readonly (string | { code: string; roles?: readonly string[]; permissions?: readonly string[] })[];
}

/** Changes to a user's account. Omitted fields stay unchanged. */
export interface UserChanges {
  providedId?: string | null;
  email?: string | null;
  phone?: string | null;
  username?: string | null;
  firstName?: string | null;
  lastName?: string | null;
  picture?: string | null;
  isSuspended?: boolean;
  isPasswordResetRequested?: boolean;
}

/** An organization to create. Code and name are generated if omitted. */
export interface OrgInput {
  code?: string;
  name?: string;
  handle?: string | null;
  externalId?: string | null;
  isAllowRegistrations?: boolean;
  isAutoMembershipEnabled?: boolean;
  isSuspended?: boolean;
}
