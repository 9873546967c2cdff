/**
 * One user as held inside: never changed in place, so that an older state can still be shown by a lagging index.
 * Memberships name roles and permissions by id: one deleted from the catalogue vanishes from every user at once.
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
  readonly memberships: readonly Membership[];
  readonly identities: readonly { readonly type: string; readonly identity: string }[];
  readonly billing: { readonly customerId: string; readonly agreements: readonly Agreement[] } | null;
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
  readonly expiresOn: string;
  readonly billingGroupId: string;
}
