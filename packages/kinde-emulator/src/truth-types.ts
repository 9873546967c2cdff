/** What the emulated Kinde holds: the truth that answers, events and caches are compared with. */

/** A user's place in one organization. Keys, not ids. */
export interface TruthMembership {
  code: string;
  /** Keys of the roles held there. */
  roles: string[];
  /** Keys of all permissions in force there: the roles' and the directly given ones, sorted. */
  permissions: string[];
  /** Keys of the permissions given directly. */
  directPermissions: string[];
}

/** An agreement to a plan. */
export interface TruthAgreement {
  id: string;
  planCode: string;
  /** ISO 8601. */
  expiresOn: string;
  billingGroupId: string;
  entitlements: { featureCode: string; entitlementId: string }[];
}

/** One user, whole. */
export interface TruthUser {
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
  /** Set properties only. */
  properties: Record<string, string>;
  organizations: TruthMembership[];
  identities: { type: string; identity: string }[];
  billing: { customerId: string; agreements: TruthAgreement[] } | null;
}

/** An organization. */
export interface Org {
  code: string;
  name: string;
  handle: string | null;
  externalId: string | null;
  isDefault: boolean;
  isAllowRegistrations: boolean;
  /** ISO 8601. */
  createdOn: string;
}

/** A role; `permissions` are keys. */
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

/** A property that users may carry. */
export interface PropertyDefinition {
  id: string;
  key: string;
  name: string;
  description: string;
  isPrivate: boolean;
  isKindeProperty: boolean;
  context: "usr" | "org" | "app";
}

/** What a user to be created or imported looks like. Everything may be left out. */
export interface UserInput {
  id?: string;
  providedId?: string | null;
  email?: string | null;
  phone?: string | null;
  username?: string | null;
  firstName?: string | null;
  lastName?: string | null;
  picture?: string | null;
  isSuspended?: boolean;
  /** Unknown keys are refused. */
  properties?: Record<string, string>;
  /** Codes of existing organizations, with keys of existing roles and permissions. */
  organizations?: readonly (string | { code: string; roles?: readonly string[]; permissions?: readonly string[] })[];
}

/** Changes of a user's profile. */
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

/** What an organization to be created looks like. Everything may be left out. */
export interface OrgInput {
  code?: string;
  name?: string;
  handle?: string | null;
  externalId?: string | null;
  isAllowRegistrations?: boolean;
}
