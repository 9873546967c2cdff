import type { FeatureFlagValue, IdentityType } from "../truth-types.ts";

/**
 * A user as stored. Immutable: the history keeps references to older states for the lagging search.
 * Memberships reference roles and permissions by id, so deleting one takes effect for every user at once.
 */
export interface UserState {
  readonly id: string;
  readonly providedId: string | null;
  readonly email: string | null;
  readonly phone: string | null;
  readonly username: string | null;
  readonly firstName: string | null;
  readonly lastName: string | null;
  readonly isSuspended: boolean;
  readonly isPasswordResetRequested: boolean;
  readonly picture: string | null;
  readonly totalSignIns: number;
  readonly failedSignIns: number;
  readonly lastSignedIn: string | null;
  readonly createdOn: string;
  readonly properties: Readonly<Record<string, string>>;
  /** Values of feature flags set for this user alone, by key. */
  readonly featureFlags: Readonly<Record<string, FeatureFlagValue>>;
  readonly memberships: readonly Membership[];
  /** The first of each type is the primary one. */
  readonly identities: readonly IdentityState[];
  readonly billing: { readonly customerId: string; readonly agreements: readonly Agreement[] } | null;
}

export interface IdentityState {
  readonly type: IdentityType;
  readonly identity: string;
  /** Connection of a social or enterprise identity. */
  readonly connectionId?: string;
  /** Absent if the identity is as old as the user. */
  readonly createdOn?: string;
}

export interface Membership {
  readonly code: string;
  readonly roleIds: readonly string[];
  readonly permissionIds: readonly string[];
  readonly joinedOn: string;
}

export interface Agreement {
  readonly id: string;
  readonly planCode: string;
  readonly startedOn: string;
  /** Null while the agreement is in effect. */
  readonly expiresOn: string | null;
  readonly billingGroupId: string;
}
