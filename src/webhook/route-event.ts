import type { WebhookEvent } from "@kinde/webhooks/dist/types.js";
import { z } from "zod";
import { grantId, organizationCode, userId } from "../kinde/ids.ts";
import type { FanoutSubject } from "../refresh/queues.ts";
import { type KindeEvent, malformed } from "./verify.ts";

/** The work an event causes. */
export type Route =
  | { to: "user"; userId: string; deleted: boolean }
  | { to: "fanout"; subject: FanoutSubject }
  /** The event is acknowledged and counted, but causes no work. */
  | { to: "none"; reason: "ignored" | "unknown" | "unroutable" };

type Router = (data: Readonly<Record<string, unknown>>) => Route;

const byUser = z.object({ user: z.object({ id: userId }) });
const byOrganization = z.object({ organization: z.object({ code: organizationCode }) });
const byRole = z.object({ role: z.object({ id: grantId }) });
const byPermission = z.object({ permission: z.object({ id: grantId }) });

function reader<T>(schema: z.ZodType<T>, route: (data: T) => Route): Router {
  return (data) => {
    const result = schema.safeParse(data);
    if (!result.success) throw malformed(result.error);
    return route(result.data);
  };
}

const toUser = reader(byUser, ({ user }) => ({ to: "user", userId: user.id, deleted: false }));
const toDeleted = reader(byUser, ({ user }) => ({ to: "user", userId: user.id, deleted: true }));
const toMembers = reader(byOrganization, ({ organization }) => fanout(`organization:${organization.code}`));
const toRoleHolders = reader(byRole, ({ role }) => fanout(`role:${role.id}`));
const toPermissionHolders = reader(byPermission, ({ permission }) => fanout(`permission:${permission.id}`));
const ignore: Router = () => ({ to: "none", reason: "ignored" });

function fanout(subject: FanoutSubject): Route {
  return { to: "fanout", subject };
}

/** The event types of `@kinde/webhooks`. A type that it adds later breaks the build here until it is routed. */
type ListedType = `${WebhookEvent["type"]}`;

/** Event types from Kinde's documentation that the package lacks. */
type UnlistedType =
  | `passkey.${"added" | "removed"}`
  | `customer.agreement_${"created" | "cancelled"}`
  | `customer.plan_${"created" | "assigned" | "changed"}`
  | `customer.payment_${"succeeded" | "failed"}`
  | "customer.invoice_overdue"
  | "customer.meter_usage_updated";

/**
 * Routes an event to the affected users.
 *
 * @param options.refreshOnSignIn Whether a sign-in refreshes the user
 * @throws {WebhookError} `event_malformed` if an event of a known type lacks the id that its route needs
 */
export function routeEvent(event: KindeEvent, options: { refreshOnSignIn: boolean }): Route {
  if (event.type === "user.authenticated" && !options.refreshOnSignIn) return ignore(event.data);
  return isKnown(event.type) ? routers[event.type](event.data) : { to: "none", reason: "unknown" };
}

/** Returns the event types that cause work. Our webhook must be subscribed to them. */
export function neededEventTypes({ refreshOnSignIn }: { refreshOnSignIn: boolean }): string[] {
  return Object.entries(routers)
    .filter(([type, router]) => router !== ignore && (refreshOnSignIn || type !== "user.authenticated"))
    .map(([type]) => type);
}

function isKnown(type: string): type is keyof typeof routers {
  return Object.hasOwn(routers, type);
}

const routers: Readonly<Record<ListedType | UnlistedType, Router>> = {
  "user.created": toUser,
  "user.updated": toUser,
  "user.authenticated": toUser,
  "user.authentication_failed": ignore,
  "user.deleted": toDeleted,
  "organization.created": toMembers,
  "organization.updated": toMembers,
  "organization.deleted": toMembers,
  "role.created": toRoleHolders,
  "role.updated": toRoleHolders,
  "role.deleted": toRoleHolders,
  "permission.created": toPermissionHolders,
  "permission.updated": toPermissionHolders,
  "permission.deleted": toPermissionHolders,
  "access_request.created": ignore,
  "subscriber.created": ignore,
  "passkey.added": toFirstId,
  "passkey.removed": toFirstId,
  "customer.agreement_created": toFirstId,
  "customer.agreement_cancelled": toFirstId,
  "customer.plan_created": toFirstId,
  "customer.plan_assigned": toFirstId,
  "customer.plan_changed": toFirstId,
  "customer.payment_succeeded": toFirstId,
  "customer.payment_failed": toFirstId,
  "customer.invoice_overdue": toFirstId,
  "customer.meter_usage_updated": toFirstId,
};

/**
 * Routes by the first user id anywhere in the payload, otherwise by the first organization code. The payloads of billing
 * and passkey events are not documented.
 */
function toFirstId(data: Readonly<Record<string, unknown>>): Route {
  const texts = [...strings(data, 6)];
  const user = texts.find((text) => userId.safeParse(text).success);
  if (user !== undefined) return { to: "user", userId: user, deleted: false };
  const code = texts.find((text) => organizationCode.safeParse(text).success);
  return code === undefined ? { to: "none", reason: "unroutable" } : fanout(`organization:${code}`);
}

function* strings(value: unknown, depth: number): Generator<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "object" && value !== null && depth > 0) {
    for (const inner of Object.values(value)) yield* strings(inner, depth - 1);
  }
}
