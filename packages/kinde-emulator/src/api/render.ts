import { definedProperties, organizationCodes } from "../kinde/truth.ts";
import type { Catalogue } from "../state/catalogue.ts";
import type { UserState } from "../state/user-state.ts";
import type { Org, PropertyDefinition } from "../truth-types.ts";
import type { Webhook } from "../types.ts";
import type { ApiCall } from "./route.ts";

/** Returns the value of a property. A key such as `constructor` must not find what all objects have. */
export function ownValue(values: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(values, key) ? values[key] : undefined;
}

/** Parts requested by `expand`. */
export interface Expand {
  organizations: boolean;
  identities: boolean;
  billing: boolean;
  properties: boolean;
}

export function expandOf(call: ApiCall): Expand {
  const names = (call.query("expand") ?? "").split(",").map((name) => name.trim());
  return {
    organizations: names.includes("organizations"),
    identities: names.includes("identities"),
    billing: names.includes("billing"),
    properties: names.includes("properties"),
  };
}

/** Fields common to all representations of a user. Mutable, because a search renders up to a million of these. */
interface AccountShape {
  organizations?: string[];
  identities?: readonly { type: string; identity: string }[];
  billing?: { customer_id: string };
  properties?: UserState["properties"];
  [field: string]: unknown;
}

function account(user: UserState): AccountShape {
  return {
    last_name: user.lastName,
    first_name: user.firstName,
    is_suspended: user.isSuspended,
    picture: user.picture,
    total_sign_ins: user.totalSignIns,
    failed_sign_ins: user.failedSignIns,
    last_signed_in: user.lastSignedIn,
    created_on: user.createdOn,
  };
}

function expanded(catalogue: Catalogue, shape: AccountShape, user: UserState, expand: Expand): AccountShape {
  if (expand.organizations) shape.organizations = organizationCodes(catalogue, user);
  if (expand.identities) shape.identities = identitiesOf(user);
  if (expand.billing && user.billing) shape.billing = { customer_id: user.billing.customerId };
  return shape;
}

/** Response of `GET /user`. */
export const oneUser = (catalogue: Catalogue, user: UserState, expand: Expand) => ({
  id: user.id,
  provided_id: user.providedId,
  preferred_email: user.email,
  phone: user.phone,
  username: user.username,
  ...expanded(catalogue, account(user), user, expand),
});

const identitiesOf = ({ identities }: UserState) => identities.map(({ type, identity }) => ({ type, identity }));

/** An item of `GET /users`. */
export const listedUser = (catalogue: Catalogue, user: UserState, expand: Expand) => ({
  id: user.id,
  provided_id: user.providedId,
  email: user.email,
  phone: user.phone,
  username: user.username,
  ...expanded(catalogue, account(user), user, expand),
  ...(expand.identities && {
    identities: user.identities.map(({ type, identity, connectionId = null }) => ({
      ...{ type, identity },
      connection_id: connectionId,
    })),
  }),
});

/** An item of `GET /search/users`, which has no phone and no billing. */
export function foundUser(catalogue: Catalogue, user: UserState, expand: Expand): AccountShape {
  const shape: AccountShape = {
    id: user.id,
    provided_id: user.providedId,
    email: user.email,
    username: user.username,
    last_name: user.lastName,
    first_name: user.firstName,
    is_suspended: user.isSuspended,
    picture: user.picture,
    total_sign_ins: user.totalSignIns,
    failed_sign_ins: user.failedSignIns,
    last_signed_in: user.lastSignedIn,
    created_on: user.createdOn,
  };
  if (expand.organizations) shape.organizations = organizationCodes(catalogue, user);
  if (expand.identities) shape.identities = identitiesOf(user);
  if (expand.properties) shape.properties = definedProperties(catalogue, user);
  return shape;
}

export const listedOrganization = (org: Org) => ({
  code: org.code,
  name: org.name,
  handle: org.handle,
  is_default: org.isDefault,
  external_id: org.externalId,
  is_auto_membership_enabled: org.isAutoMembershipEnabled,
});

export const oneProperty = (property: PropertyDefinition) => ({
  id: property.id,
  key: property.key,
  name: property.name,
  is_private: property.isPrivate,
  description: property.description,
  is_kinde_property: property.isKindeProperty,
});

export const oneWebhook = (webhook: Webhook) => ({
  id: webhook.id,
  name: webhook.name,
  endpoint: webhook.endpoint,
  description: webhook.description,
  event_types: webhook.eventTypes,
  created_on: webhook.createdOn,
});
