import type { CryptoKey, JWK, KeyObject } from "jose";
import type { ActiveFault, Fault } from "./fault-types.ts";
import type {
  Org,
  OrgInput,
  Permission,
  PropertyDefinition,
  Role,
  TruthUser,
  UserChanges,
  UserInput,
} from "./truth-types.ts";

/** How an emulator is started. Everything may be left out. */
export interface EmulatorOptions {
  /** TCP port; default 0, any free one. */
  port?: number;
  /** Address to listen on; default `127.0.0.1`. Listening everywhere, its own URLs name the loopback address. */
  host?: string;
  /** Users to begin with; default 0. A million starts as fast as one. */
  users?: number;
  /** Seeds the population; default 1. */
  seed?: number;
  /** Credentials of the machine-to-machine application. */
  clientId?: string;
  clientSecret?: string;
  /** Private RSA key that it signs with until the first rotation; default a new one, which takes a moment to make. */
  signingKey?: JWK;
  /** Scopes the application holds to begin with; default all the emulator knows. */
  scopes?: readonly string[];
  /** Default 86 400. */
  tokenLifetimeSeconds?: number;
  /** Multiplies Kinde's retry schedule and its 72 h to switch-off; default 1. `0.001` turns 12 h into 43 s. */
  retryTimeScale?: number;
  /** Bound of one delivery attempt in milliseconds, never scaled; default 10 000. */
  deliveryTimeoutMs?: number;
  /** Offset that timestamps of events are written with, minutes; default 600 (`+10:00`). */
  eventOffsetMinutes?: number;
  /** Wall clock, milliseconds since epoch; default `Date.now`. */
  now?: () => number;
  /** Hears everything that happens, without personal data. */
  onEvent?: (entry: LogEntry) => void;
}

/** What the emulator tells about itself. */
export type LogEntry =
  | { type: "listening"; url: string; users: number }
  | { type: "call"; method: string; path: string; status: number | "hung" | "reset" | "truncated"; ms: number }
  | { type: "token"; issued: number }
  | { type: "event"; eventId: string; event: string; webhooks: number }
  | { type: "attempt"; eventId: string; event: string; attempt: number; status: number | "timeout" | "unreachable" }
  | { type: "delivery"; eventId: string; event: string; state: DeliveryState; attempts: number }
  | { type: "webhook_disabled"; webhookId: string }
  | { type: "keys_rotated"; kid: string }
  | { type: "fault"; action: "set" | "removed"; kind: Fault["kind"] };

/** A registered webhook. */
export interface Webhook {
  id: string;
  name: string;
  description: string | null;
  /** URL deliveries go to. */
  endpoint: string;
  eventTypes: string[];
  createdOn: string;
  /** False once it was switched off for failing 72 h (scaled) on end. */
  enabled: boolean;
}

/** `lost`: a fault swallowed it. `failed`: retries used up. `dropped`: its webhook was removed or switched off. */
export type DeliveryState = "pending" | "delivered" | "failed" | "lost" | "dropped";

/** One event on its way to one webhook. */
export interface Delivery {
  /** The `webhook-id` header, the same on every attempt. */
  id: string;
  eventId: string;
  type: string;
  webhookId: string;
  /** Attempts finished so far. */
  attempts: number;
  /** What each attempt was answered. */
  statuses: (number | "timeout" | "unreachable")[];
  state: DeliveryState;
}

/** A call in the log of recent calls: no query, no personal data. */
export interface CallLog {
  /** Milliseconds since epoch. */
  at: number;
  method: string;
  /** Route, such as `/api/v1/users/{id}/properties`. */
  route: string;
  /** Kinde's own id of the user the call is about, if it names one. */
  user: string | null;
  status: number | "hung" | "reset" | "truncated";
  ms: number;
}

/** Counters of calls. */
export interface Stats {
  /** Access tokens issued at `/oauth2/token`. */
  readonly tokensIssued: number;
  /** Calls by `METHOD /route`, tokens and key sets included. */
  readonly calls: Readonly<Record<string, number>>;
  /** Management API calls. */
  readonly total: number;
  /** Management API calls answered 429. */
  readonly tooMany: number;
  /** Most Management API calls in hand at once. */
  readonly maxConcurrent: number;
  /** The last 1000 calls, oldest first. */
  readonly recent: readonly CallLog[];
  reset(): void;
}

/** What an admin, a user or the API would do in Kinde, with the events Kinde fires for it. */
export interface KindeActions {
  /** The whole truth about a user. */
  user(id: string): TruthUser | undefined;
  /** All ids, in the order of every list. */
  userIds(): Iterable<string>;
  readonly userCount: number;
  /** Fires `user.created`. */
  createUser(input?: UserInput): TruthUser;
  /** Fires nothing, as Kinde's import does. */
  importUsers(inputs: readonly UserInput[]): TruthUser[];
  /** Fires `user.updated`. */
  updateUser(id: string, changes: UserChanges): void;
  /** Default true. Fires `user.updated`. */
  suspendUser(id: string, suspended?: boolean): void;
  /** Fires `user.deleted`, unless silent. */
  deleteUser(id: string, options?: { silent?: boolean }): void;
  /** Fires nothing, as Kinde does. `null` removes. */
  setProperties(id: string, properties: Record<string, string | null>): void;
  /** Makes a property known, so that users may carry it. Fires nothing. */
  createProperty(key: string, definition?: Partial<Omit<PropertyDefinition, "id" | "key">>): PropertyDefinition;
  /** Fires `user.authenticated`, or `user.authentication_failed` with `ok: false`. */
  signIn(id: string, options?: { ok?: boolean }): void;

  organizations(): Org[];
  /** Fires `organization.created`. */
  createOrganization(input?: OrgInput): Org;
  updateOrganization(code: string, changes: Omit<OrgInput, "code">): void;
  deleteOrganization(code: string): void;
  /** Fires `user.updated`. */
  addToOrganization(
    id: string,
    code: string,
    grant?: { roles?: readonly string[]; permissions?: readonly string[] },
  ): void;
  /** Fires `user.updated`. */
  removeFromOrganization(id: string, code: string): void;
  /** Replaces the user's roles in one organization. Fires `user.updated`. */
  setRoles(id: string, orgCode: string, roleKeys: readonly string[]): void;
  /** Replaces the directly given permissions. Fires `user.updated`. */
  setPermissions(id: string, orgCode: string, permissionKeys: readonly string[]): void;

  roles(): Role[];
  /** Permissions that do not exist yet are created too. Fires `role.created`. */
  createRole(
    key: string,
    permissionKeys?: readonly string[],
    details?: { name?: string; description?: string; isDefaultRole?: boolean },
  ): Role;
  /** Fires `role.updated`, nothing for the users who hold it. */
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
  deleteRole(key: string): void;
  permissions(): Permission[];
  createPermission(key: string, name?: string, description?: string): Permission;
  updatePermission(key: string, changes: { key?: string; name?: string; description?: string }): void;
  deletePermission(key: string): void;

  /** Makes the customer if need be, and an agreement. Fires `customer.agreement_created`, `customer.plan_assigned`. */
  assignPlan(id: string, planCode: string): void;
  /** Replaces the agreements. Fires `customer.plan_changed`. */
  changePlan(id: string, planCode: string): void;
  /** Ends the agreements. Fires `customer.agreement_cancelled`. */
  cancelPlan(id: string): void;

  /** Any event as is, nothing else changed. `timestamp`: ISO 8601, default now. Answers the event's id. */
  emit(type: string, data: Record<string, unknown>, options?: { timestamp?: string; source?: EventSource }): string;
}

/** Who caused an event. */
export type EventSource = "admin" | "api" | "user";

/** The running stand-in for Kinde. */
export interface Emulator {
  /** `http://127.0.0.1:<port>`: what goes into `KINDE_DOMAIN`. */
  readonly url: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** `<url>/api` */
  readonly audience: string;
  readonly kinde: KindeActions;
  readonly webhooks: {
    /** Default of `eventTypes`: all. */
    register(webhook: { url: string; eventTypes?: readonly string[]; name?: string }): Webhook;
    list(): Webhook[];
    remove(id: string): void;
  };
  readonly deliveries: {
    /** The last 10 000, oldest first; pending ones always. */
    list(): Delivery[];
    pending(): number;
    /** Resolves when nothing is pending, retries included. */
    settled(): Promise<void>;
    /** One more attempt to every webhook that had the event; answers the last status (0: unreachable). */
    redeliver(eventId: string): Promise<number>;
    /** A JWT over `payload`, by default with the current key and its header. */
    sign(
      payload: unknown,
      options?: { header?: Record<string, unknown>; key?: CryptoKey | KeyObject | JWK | Uint8Array },
    ): Promise<string>;
    /** What a signed-in user holds; signed by the key that signs events. */
    accessToken(userId: string, options?: { orgCode?: string }): Promise<string>;
    idToken(userId: string): Promise<string>;
  };
  readonly keys: {
    /** Signs with a new key from now on; `keepOld` (default false) leaves the old one in the key set. */
    rotate(options?: { keepOld?: boolean }): Promise<void>;
    /** The public key set as served. */
    jwks(): { keys: JWK[] };
  };
  /** What the machine-to-machine application is allowed. */
  readonly scopes: {
    /** For tokens issued from now on, as in Kinde: those that are out keep theirs until they expire. */
    set(scopes: readonly string[]): void;
    list(): string[];
  };
  readonly faults: {
    /** Answers the fault's removal. */
    set(fault: Fault): () => void;
    clear(): void;
    list(): ActiveFault[];
  };
  readonly stats: Stats;
  /** Leaves nothing running: sockets destroyed, timers cleared. */
  close(): Promise<void>;
}
