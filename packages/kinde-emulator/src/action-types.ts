import type {
  FeatureFlag,
  FeatureFlagValue,
  Identity,
  IdentityType,
  Invitation,
  InvitationInput,
  Org,
  OrgInput,
  Permission,
  PropertyDefinition,
  Role,
  TruthUser,
  UserChanges,
  UserInput,
} from "./truth-types.ts";

/**
 * Actions an admin, a user or the API performs in Kinde. Each action fires the events that Kinde fires.
 *
 * Actions throw an `EmulatorError`: `unknown_…` for an unknown id, code or key, `…_already_exists` for a duplicate, and
 * `invalid_property` for a property that is not defined.
 */
export interface KindeActions {
  /** Returns the user's complete state, or undefined if there is no such user. */
  user(id: string): TruthUser | undefined;
  /** Iterates over all user ids, in the order in which every list returns them. */
  userIds(): Iterable<string>;
  /** Number of users. */
  readonly userCount: number;
  /** Creates a user. Missing names and email address are generated. Fires `user.created`. */
  createUser(input?: UserInput): TruthUser;
  /**
   * Creates users without firing events, as Kinde's import does. All or none: an invalid user is refused with the
   * others.
   */
  importUsers(inputs: readonly UserInput[]): TruthUser[];
  /** Updates a user's account fields. Fires `user.updated` unless {@link SilentOption.silent} is true. */
  updateUser(id: string, changes: UserChanges, options?: SilentOption): void;
  /**
   * Suspends the user, or lifts the suspension if `suspended` is false (default true). Fires `user.updated` unless
   * {@link SilentOption.silent} is true.
   */
  suspendUser(id: string, suspended?: boolean, options?: SilentOption): void;
  /** Deletes a user. Fires `user.deleted` unless `silent` is true. */
  deleteUser(id: string, options?: SilentOption): void;
  /** Sets properties; `null` removes one. Fires nothing, as in Kinde. */
  setProperties(id: string, properties: Record<string, string | null>): void;
  /** Defines a property. A user property must be defined before it can be set. Fires nothing. */
  createProperty(key: string, definition?: Partial<Omit<PropertyDefinition, "id" | "key">>): PropertyDefinition;
  /** Updates the definition of a property. Fires nothing. */
  updateProperty(
    key: string,
    changes: Partial<Pick<PropertyDefinition, "name" | "description" | "isPrivate" | "categoryId">>,
  ): void;
  /** Deletes a property's definition, and with it every user's value. Fires nothing. */
  deleteProperty(key: string): void;
  /** Records a sign-in. Fires `user.authenticated`, or `user.authentication_failed` if `ok` is false (default true). */
  signIn(id: string, options?: { ok?: boolean }): void;

  /** Returns a user's identities. */
  identities(id: string): Identity[];
  /**
   * Adds an identity. `social` and `enterprise` ones name their connection, which can be any text. Fires `user.updated` if
   * it is the first email address, username or phone number.
   */
  addIdentity(id: string, identity: { type: IdentityType; identity: string; connectionId?: string }): Identity;
  /** Makes an identity the primary one of its type. Fires `user.updated` if the account shows it. */
  makeIdentityPrimary(identityId: string): void;
  /** Removes an identity. Fires `user.updated` if the account showed it. */
  removeIdentity(identityId: string): void;

  /** Returns all organizations. */
  organizations(): Org[];
  /** Creates an organization. Fires `organization.created`. */
  createOrganization(input?: OrgInput): Org;
  /** Updates an organization. Fires `organization.updated`. */
  updateOrganization(code: string, changes: Omit<OrgInput, "code">): void;
  /** Deletes an organization. Fires `organization.deleted`, and nothing for its members. */
  deleteOrganization(code: string): void;
  /** Adds a user to an organization, or changes an existing member's grants; omitted grants stay. Fires `user.updated`. */
  addToOrganization(
    id: string,
    code: string,
    grant?: { roles?: readonly string[]; permissions?: readonly string[] },
  ): void;
  /** Removes a user from an organization. Fires `user.updated` unless {@link SilentOption.silent} is true. */
  removeFromOrganization(id: string, code: string, options?: SilentOption): void;
  /** Returns the invitations to an organization, accepted and revoked ones included. */
  invitations(orgCode: string): Invitation[];
  /** Invites a person to an organization. Sends no email and fires nothing. */
  invite(orgCode: string, invitation: InvitationInput): Invitation;
  /** Revokes a pending invitation. Fires nothing. */
  revokeInvitation(code: string): void;
  /**
   * Accepts a pending invitation: the user joins the organization with its roles. Fires `user.updated`. Throws
   * `invalid_invitation` if the user does not have the invited email address.
   */
  acceptInvitation(code: string, id: string): void;
  /** Replaces the user's roles in one organization. Fires `user.updated`. */
  setRoles(id: string, orgCode: string, roleKeys: readonly string[]): void;
  /** Replaces the user's direct permissions in one organization. Fires `user.updated`. */
  setPermissions(id: string, orgCode: string, permissionKeys: readonly string[]): void;

  /** Returns all roles. */
  roles(): Role[];
  /** Creates a role and any missing permission. Fires `role.created`, and `permission.created` per new permission. */
  createRole(
    key: string,
    permissionKeys?: readonly string[],
    details?: { name?: string; description?: string; isDefaultRole?: boolean },
  ): Role;
  /** Updates a role. Fires `role.updated`, and nothing for the users who hold it. */
  updateRole(
    key: string,
    changes: {
      key?: string;
      name?: string;
      description?: string;
      isDefaultRole?: boolean;
      permissions?: readonly string[];
    },
  ): void;
  /** Deletes a role. Fires `role.deleted`, and nothing for the users who held it. */
  deleteRole(key: string): void;
  /** Returns all permissions. */
  permissions(): Permission[];
  /** Creates a permission. `name` defaults to the key. Fires `permission.created`. */
  createPermission(key: string, name?: string, description?: string): Permission;
  /** Updates a permission. Fires `permission.updated`, and nothing for the users who hold it. */
  updatePermission(key: string, changes: { key?: string; name?: string; description?: string }): void;
  /** Deletes a permission. Fires `permission.deleted`, and nothing for the users who held it. */
  deletePermission(key: string): void;

  /** Returns an organization's property values by key. */
  organizationProperties(code: string): Record<string, string>;
  /**
   * Sets properties of an organization; `null` removes a value. Fires no event. The properties must be defined: see
   * {@link KindeActions.createProperty} with the context `org`.
   */
  setOrganizationProperties(code: string, properties: Readonly<Record<string, string | null>>): void;
  /**
   * Makes the organization a billing customer with one agreement, to the given plan. Fires
   * `customer.agreement_cancelled` for each agreement it ends, and `customer.agreement_created`.
   */
  assignOrganizationPlan(code: string, planCode: string): void;
  /** Ends all agreements of the organization. Fires `customer.agreement_cancelled` for each. */
  cancelOrganizationPlan(code: string): void;

  /** Returns all feature flags. */
  featureFlags(): FeatureFlag[];
  /** Creates a feature flag. Its type is that of its default value. Fires nothing. */
  createFeatureFlag(
    key: string,
    defaultValue: FeatureFlagValue,
    details?: { name?: string; description?: string; allowOverrideLevel?: FeatureFlag["allowOverrideLevel"] },
  ): FeatureFlag;
  /** Updates a feature flag. Fires nothing. */
  updateFeatureFlag(key: string, changes: Partial<Omit<FeatureFlag, "id" | "key" | "type">>): void;
  /**
   * Sets a feature flag for the environment, or for one organization or one user; `null` removes the value. Fires
   * nothing. Throws `invalid_feature_flag` for a value of another type, or a level the flag cannot be set on.
   */
  setFeatureFlag(key: string, value: FeatureFlagValue | null, scope?: { organization?: string; user?: string }): void;
  /** Deletes a feature flag. Fires nothing. */
  deleteFeatureFlag(key: string): void;

  /**
   * Makes the user a billing customer with one agreement, to the given plan. Fires `customer.agreement_cancelled` for
   * each agreement it ends, `customer.agreement_created` and `customer.plan_assigned`.
   */
  assignPlan(id: string, planCode: string): void;
  /** Replaces the agreement in effect with one to the given plan. Fires `customer.plan_changed`. */
  changePlan(id: string, planCode: string): void;
  /** Ends the agreement in effect. Fires `customer.agreement_cancelled`. */
  cancelPlan(id: string): void;

  /**
   * Fires an event without changing any state.
   *
   * @param type any string; only webhooks subscribed to this exact type receive it
   * @param options `timestamp`: ISO 8601, default now; `source`: default `admin`
   * @returns the event id
   */
  emit(type: string, data: Record<string, unknown>, options?: { timestamp?: string; source?: EventSource }): string;
}

/** Whether an action fires its event. */
export interface SilentOption {
  /**
   * Whether to fire no event, as if it was lost. Kinde documents `user.updated` only for users who join an organization,
   * and for changed roles and permissions: an app must not depend on it for suspensions, departures and account fields.
   * Default false.
   */
  silent?: boolean;
}

/** Origin of an event. */
export type EventSource = "admin" | "api" | "user";
