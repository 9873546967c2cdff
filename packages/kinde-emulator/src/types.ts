import type { CryptoKey, JWK, KeyObject } from "jose";
import type { KindeActions } from "./action-types.ts";
import type { ActiveFault, Fault } from "./fault-types.ts";

/** Options for `createEmulator`. All are optional. */
export interface EmulatorOptions {
  /** TCP port. Default 0: the operating system picks a free port. */
  port?: number;
  /** Address to listen on. Default `127.0.0.1`. With `0.0.0.0` or `::`, the emulator's own URLs use the loopback address. */
  host?: string;
  /** Names, beside `localhost` and addresses, by which clients may reach the emulator. Default: none. */
  allowedHosts?: readonly string[];
  /** Start even with `NODE_ENV=production`. Default `false`. */
  allowProduction?: boolean;
  /** Number of seeded users. Default 0. Users are computed on demand, so a million start as fast as one. */
  users?: number;
  /** Seed of the generated users and organizations. Default 1. */
  seed?: number;
  /** Client id of the machine-to-machine application. Default `emulated_client_id`. */
  clientId?: string;
  /** Client secret of the machine-to-machine application. Default `emulatedManagementClientSecret0123456789`. */
  clientSecret?: string;
  /**
   * The application users sign in to. Default: a fixed client id and secret, and any callback or logout URL on
   * `localhost` or another loopback address.
   */
  application?: ApplicationInput;
  /** Private RSA key used until the first rotation. Default: a new 2048-bit key, which takes a moment to generate. */
  signingKey?: JWK;
  /** Scopes granted to the application. Default: every scope the emulator knows. */
  scopes?: readonly string[];
  /** Lifetime of machine-to-machine tokens, in seconds. Default 86,400. */
  tokenLifetimeSeconds?: number;
  /** Scales the retry delays and the 72 hours until a webhook is disabled. Default 1. `0.001` turns 12 h into 43 s. */
  retryTimeScale?: number;
  /** Timeout of one delivery attempt, in milliseconds. Never scaled. Default 10,000. */
  deliveryTimeoutMs?: number;
  /** UTC offset of event timestamps, in minutes. Default 600 (`+10:00`). */
  eventOffsetMinutes?: number;
  /** Wall clock for tokens and timestamps, in milliseconds since the epoch. Default `Date.now`. */
  now?: () => number;
  /** Receives a log entry for everything the emulator does. Entries contain no personal data. */
  onEvent?: (entry: LogEntry) => void;
}

/** Settings of an application that users sign in to. All are optional. */
export interface ApplicationInput {
  /** Default: a random id. */
  clientId?: string;
  /** 40 to 60 letters and digits, as in Kinde. Default: random. */
  clientSecret?: string;
  /** Shown on the sign-in page. Default `Application`. */
  name?: string;
  /** Allowed callback URLs, compared exactly. `loopback` (default): any URL on `localhost`, `127.0.0.0/8` or `[::1]`. */
  callbackUrls?: readonly string[] | "loopback";
  /** Allowed URLs to return to after signing out. Default `loopback`, as for `callbackUrls`. */
  logoutUrls?: readonly string[] | "loopback";
}

/** An application that users sign in to. */
export interface Application {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly name: string;
  readonly callbackUrls: readonly string[] | "loopback";
  readonly logoutUrls: readonly string[] | "loopback";
}

/** An entry of the emulator's log. `status` is an HTTP status unless no complete answer was sent; `ms` is the duration. */
export type LogEntry =
  | { type: "listening"; url: string; users: number }
  | { type: "call"; method: string; path: string; status: number | "hung" | "reset" | "truncated"; ms: number }
  | { type: "token"; issued: number }
  | { type: "event"; eventId: string; event: string; webhooks: number }
  | { type: "attempt"; eventId: string; event: string; attempt: number; status: number | "timeout" | "unreachable" }
  | { type: "delivery"; eventId: string; event: string; state: DeliveryState; attempts: number }
  | { type: "webhook_disabled"; webhookId: string }
  | { type: "sign_in"; how: "page" | "script" | "session"; ok: boolean }
  | { type: "keys_rotated"; kid: string }
  | { type: "fault"; action: "set" | "removed"; kind: Fault["kind"] };

/** A registered webhook. */
export interface Webhook {
  id: string;
  name: string;
  description: string | null;
  /** URL that deliveries are posted to. */
  endpoint: string;
  /** Event types the webhook is subscribed to. */
  eventTypes: string[];
  /** ISO 8601. */
  createdOn: string;
  /** False once every attempt has failed for 72 hours (scaled). A disabled webhook receives nothing. */
  enabled: boolean;
}

/**
 * State of a delivery. `failed`: every retry failed. `lost`: a `lose_delivery` fault discarded it. `dropped`: its webhook
 * was removed or disabled, or the emulator was closed.
 */
export type DeliveryState = "pending" | "delivered" | "failed" | "lost" | "dropped";

/** The delivery of one event to one webhook. */
export interface Delivery {
  /** The `webhook-id` header, identical on every attempt. */
  id: string;
  eventId: string;
  /** Event type, such as `user.updated`. */
  type: string;
  webhookId: string;
  /** Number of completed attempts, duplicates and redeliveries included. */
  attempts: number;
  /** Result of each completed attempt. */
  statuses: (number | "timeout" | "unreachable")[];
  state: DeliveryState;
}

/** A recorded call. It contains no query string and no personal data. */
export interface CallLog {
  /** Milliseconds since the epoch. */
  at: number;
  method: string;
  /** Route pattern, such as `/api/v1/users/{user_id}/properties`. */
  route: string;
  /** Kinde id of the user the call addresses, or null. */
  user: string | null;
  status: number | "hung" | "reset" | "truncated";
  /** Duration in milliseconds. */
  ms: number;
}

/** Call counters. The control API is not counted. */
export interface Stats {
  /** Machine-to-machine tokens issued by `/oauth2/token`. Kinde bills these. */
  readonly tokensIssued: number;
  /** Calls per `METHOD /route`, token and key set requests included. */
  readonly calls: Readonly<Record<string, number>>;
  /** Number of Management API calls. */
  readonly total: number;
  /** Number of Management API calls answered with 429. */
  readonly tooMany: number;
  /** Highest number of concurrent Management API calls. */
  readonly maxConcurrent: number;
  /** The last 1,000 finished calls, oldest first. */
  readonly recent: readonly CallLog[];
  /** Resets all counters. `maxConcurrent` restarts at the number of calls in flight. */
  reset(): void;
}

/** A running emulator. */
export interface Emulator {
  /** Base URL, such as `http://127.0.0.1:4000`: the Kinde domain to configure in your app. */
  readonly url: string;
  /** Client id of the machine-to-machine application. */
  readonly clientId: string;
  /** Client secret of the machine-to-machine application. */
  readonly clientSecret: string;
  /** Audience of Management API tokens: `<url>/api`. */
  readonly audience: string;
  /** Reads and changes the tenant's state. */
  readonly kinde: KindeActions;
  /** The applications users sign in to. The first one is that of the `application` option. */
  readonly applications: {
    /** Creates an application. @throws EmulatorError `invalid_application` */
    create(input?: ApplicationInput): Application;
    /** Returns all applications. */
    list(): Application[];
  };
  /**
   * Signs in as this user, without a page, from now on; `null` shows the page again.
   *
   * @throws EmulatorError `unknown_user`
   */
  signInAs(userId: string | null): void;
  readonly webhooks: {
    /**
     * Registers a webhook. `eventTypes` defaults to every event type of Kinde.
     *
     * @throws EmulatorError `invalid_endpoint` if `url` is not an http or https URL
     */
    register(webhook: { url: string; eventTypes?: readonly string[]; name?: string }): Webhook;
    /** Returns all webhooks, disabled ones included. */
    list(): Webhook[];
    /**
     * Switches a webhook on again, as people can in Kinde's dashboard. Its 72 hours start again; dropped deliveries stay dropped.
     *
     * @throws EmulatorError `unknown_webhook`
     */
    enable(id: string): Webhook;
    /**
     * Removes a webhook and drops its pending deliveries.
     *
     * @throws EmulatorError `unknown_webhook`
     */
    remove(id: string): void;
  };
  readonly deliveries: {
    /** Returns all pending deliveries and the last 10,000 finished ones, oldest first. */
    list(): Delivery[];
    /** Returns the number of pending deliveries. */
    pending(): number;
    /** Resolves once no delivery is pending and no attempt is in flight, retries included. */
    settled(): Promise<void>;
    /**
     * Makes one more attempt for every delivery of the event.
     *
     * @returns the status of the last attempt, 0 if it timed out or the endpoint was unreachable
     * @throws EmulatorError `unknown_event` if no delivery of the event is on record
     */
    redeliver(eventId: string): Promise<number>;
    /** Signs `payload` as a JWT without adding claims. Uses the current key and its header unless overridden. */
    sign(
      payload: unknown,
      options?: { header?: Record<string, unknown>; key?: CryptoKey | KeyObject | JWK | Uint8Array },
    ): Promise<string>;
    /**
     * Returns an access token of a signed-in user, valid for 24 hours and signed with the key that signs events.
     *
     * @param options `orgCode`: organization of the token, default the user's first; `clientId`: the application,
     *   default the first
     * @throws EmulatorError `unknown_user`
     */
    accessToken(userId: string, options?: { orgCode?: string; clientId?: string }): Promise<string>;
    /**
     * Returns an ID token of a signed-in user, valid for an hour and signed with the key that signs events.
     *
     * @throws EmulatorError `unknown_user`
     */
    idToken(userId: string, options?: { clientId?: string }): Promise<string>;
  };
  readonly keys: {
    /** Generates a new signing key. The old one leaves the key set unless `keepOld` is true (default false). */
    rotate(options?: { keepOld?: boolean }): Promise<void>;
    /** Returns the public key set, as served at `/.well-known/jwks`. */
    jwks(): { keys: JWK[] };
  };
  /** Scopes granted to the machine-to-machine application. */
  readonly scopes: {
    /** Replaces the granted scopes. As in Kinde, tokens already issued keep theirs until they expire. */
    set(scopes: readonly string[]): void;
    /** Returns the granted scopes. */
    list(): string[];
  };
  readonly faults: {
    /** Sets a fault and returns a function that removes it. */
    set(fault: Fault): () => void;
    /** Removes all faults. */
    clear(): void;
    /** Returns the faults in effect. */
    list(): ActiveFault[];
  };
  /** Call counters. */
  readonly stats: Stats;
  /** Closes the server, destroys its sockets, clears all timers and drops pending deliveries. */
  close(): Promise<void>;
}
