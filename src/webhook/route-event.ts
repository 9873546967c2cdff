import type { WebhookEvent } from "@kinde/webhooks/dist/types.js";
import { z } from "zod";
import { grantId, organizationCode, userId } from "../kinde/ids.ts";
import type { Concern } from "../redis/ledger-scripts.ts";
import type { FanoutSubject } from "../refresh/queues.ts";
import { type KindeEvent, malformed } from "./verify.ts";

/** The work an event causes. */
export type Route =
  /** A sign-in changes nothing but its own time and count. `subject`: what else the event can be about. */
  | { to: "users"; userIds: readonly string[]; concern: Concern | "signIn"; subject?: FanoutSubject }
  | { to: "deleted"; userId: string }
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

const toUser = (concern: Concern | "signIn") =>
  reader(byUser, ({ user }) => ({ to: "users", userIds: [user.id], concern }));
const toDeleted = reader(byUser, ({ user }) => ({ to: "deleted", userId: user.id }));
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
  "user.created": toUser("everything"),
  // Kinde sends it when roles or permissions change, too.
  "user.updated": toUser("grants"),
  "user.authenticated": toUser("signIn"),
  "user.authentication_failed": ignore,
  "user.deleted": toDeleted,
  "organization.created": toMembers,
  "organization.updated": toMembers,
  "organization.deleted": toMembers,
  // Nobody holds a new role or permission yet.
  "role.created": ignore,
  "role.updated": toRoleHolders,
  "role.deleted": toRoleHolders,
  "permission.created": ignore,
  "permission.updated": toPermissionHolders,
  "permission.deleted": toPermissionHolders,
  "access_request.created": ignore,
  "subscriber.created": ignore,
  "passkey.added": toNamedIds("account"),
  "passkey.removed": toNamedIds("account"),
  "customer.agreement_created": toNamedIds("plans"),
  "customer.agreement_cancelled": toNamedIds("plans"),
  "customer.plan_created": toNamedIds("plans"),
  "customer.plan_assigned": toNamedIds("plans"),
  "customer.plan_changed": toNamedIds("plans"),
  "customer.payment_succeeded": toNamedIds("plans"),
  "customer.payment_failed": toNamedIds("plans"),
  "customer.invoice_overdue": toNamedIds("plans"),
  "customer.meter_usage_updated": toNamedIds("plans"),
};

/** Users of one event that are refreshed at most. Sweeps find the changes of any others. */
const mostUsers = 100;

/**
 * Routes by the user ids anywhere in the payload, otherwise by the first organization code. The payloads of billing and
 * passkey events are not documented: a plan can be that of the user or of the organization which a payload names.
 */
function toNamedIds(concern: Concern): Router {
  return (data) => {
    const texts = [...strings(data, 6)];
    const userIds = [...new Set(texts.filter((text) => userId.safeParse(text).success))].slice(0, mostUsers);
    const code = texts.find((text) => organizationCode.safeParse(text).success);
    const isPlan = code !== undefined && concern === "plans";
    if (userIds.length > 0) return { to: "users", userIds, concern, ...(isPlan && { subject: `plans:${code}` }) };
    return code === undefined ? { to: "none", reason: "unroutable" } : fanout(`organization:${code}`);
  };
}

function* strings(value: unknown, depth: number): Generator<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "object" && value !== null && depth > 0) {
    for (const inner of Object.values(value)) yield* strings(inner, depth - 1);
  }
}
