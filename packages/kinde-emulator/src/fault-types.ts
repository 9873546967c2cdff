/**
 * Faults are plain objects discriminated by `kind`. Their scope fields limit what they affect, how often and for how long.
 * Several faults of one kind can be active with different scopes.
 */

/** A time in milliseconds: fixed, or a range `[min, max]` drawn from the fault's seeded generator. */
export type Duration = number | readonly [number, number];

/** Limits that apply to every fault. */
export interface FaultLimits {
  /** The fault removes itself after this many strikes. Default: unlimited. */
  count?: number;
  /** Probability of each strike, 0 to 1. Default 1. The rate and concurrency limiters ignore it. */
  probability?: number;
  /** Seeds the fault's random draws (probability, ranges, shuffles). Default 1. */
  seed?: number;
  /** The fault removes itself after this many milliseconds. Default: never. */
  forMs?: number;
}

/** Selects the HTTP calls a fault affects. */
export interface CallScope extends FaultLimits {
  /**
   * Path pattern: `*`, `{name}` and `:name` match one segment, `**` matches any number.
   * Default `/api/v1/**`, the Management API. Set it to affect tokens or keys.
   */
  path?: string;
  /** HTTP method, case-insensitive. Default: any. */
  method?: string;
  /** Kinde id. Limits the fault to calls that address this user as `/users/<id>/…` or `?id=<id>`. */
  user?: string;
}

/** Selects the webhook deliveries a fault affects. */
export interface DeliveryScope extends FaultLimits {
  /** Event types. Default: all. */
  eventTypes?: readonly string[];
  /** Kinde id. Limits the fault to events about this user. */
  user?: string;
}

/**
 * Delays the call by `ms`. With `when: "before"` (default), the data is read after the delay. With `"after"`, it is read
 * first, so the answer is stale by the time it is sent.
 */
export type LatencyFault = CallScope & { kind: "latency"; ms: Duration; when?: "before" | "after" };

/** Answers with an error status in Kinde's error format. The call has no effect. */
export type ErrorFault = CallScope & { kind: "error"; status: number; code?: string; message?: string };

/** Answers 429 with `RateLimit-Reset: <resetSeconds>` (seconds, default 1), whatever the load. */
export type TooManyFault = CallScope & { kind: "too_many_requests"; resetSeconds?: number };

/** Rate limiter: answers 429 beyond `calls` per window of `windowMs`, with `RateLimit-Reset` set to the next window. */
export type RateLimitFault = CallScope & { kind: "rate_limit"; calls: number; windowMs: number };

/** Concurrency limiter: answers 429 beyond `max` calls in flight, with `RateLimit-Reset: <resetSeconds>` (default 1). */
export type ConcurrencyLimitFault = CallScope & { kind: "concurrency_limit"; max: number; resetSeconds?: number };

/** Accepts the call and never answers. The call has no effect. */
export type HangFault = CallScope & { kind: "hang" };

/** Resets the connection. The call has no effect. */
export type ResetFault = CallScope & { kind: "reset" };

/** Performs the call, then answers 200 with a body that is not JSON. */
export type GarbageFault = CallScope & { kind: "garbage" };

/** Performs the call, then sends half of the body and closes the connection. */
export type TruncatedFault = CallScope & { kind: "truncated" };

/** Answers calls about unknown users with this status. Kinde does not document which one it uses; the default is 404. */
export type UnknownUserFault = CallScope & { kind: "unknown_user"; status: 400 | 404 };

/** Makes the key set unavailable: an error `status` (default 503), a hang, a reset, or a body that is not JSON. */
export type JwksDownFault = FaultLimits & {
  kind: "jwks_down";
  how?: "error" | "hang" | "reset" | "garbage";
  status?: number;
};

/** `GET /api/v1/search/users` returns users as they were `ms` milliseconds ago, at most one hour. */
export type SearchLagFault = FaultLimits & { kind: "search_lag"; ms: number };

/**
 * `GET /user` and `GET /users/{user_id}/properties` return users as they were `ms` milliseconds ago, at most one hour, as a
 * copy that lags does.
 */
export type UserLagFault = FaultLimits & {
  kind: "user_lag";
  /** Kinde id. Default: any user. */
  user?: string;
  ms: number;
};

/**
 * Changes a user between the two calls that read one (`GET /user` and `GET /users/{user_id}/properties`, in either
 * order). Once the first is answered, `change` is applied without an event. The second returns the state `before` the
 * change (a stale replica: consistent but old) or `after` it (a torn read). Without `change`, `before` returns the state
 * at the time of the first call.
 */
export type TornReadFault = FaultLimits & {
  kind: "torn_read";
  /** Kinde id. Default: any user. */
  user?: string;
  answer: "before" | "after";
  change?: { properties?: Record<string, string | null>; isSuspended?: boolean; firstName?: string };
  /** Calls further apart than this, in milliseconds, count as separate reads. Default 5. */
  withinMs?: number;
};

/** Sends the delivery 1 + `copies` times (default 1 copy) with the same `webhook-id`. */
export type DuplicateDeliveryFault = DeliveryScope & { kind: "duplicate_delivery"; copies?: number };

/** Delays the first attempt of the delivery by `ms`. */
export type DelayDeliveryFault = DeliveryScope & { kind: "delay_delivery"; ms: Duration };

/** Holds deliveries until `window` are waiting or `maxHoldMs` (default 200) have passed, then sends them shuffled. */
export type ReorderDeliveriesFault = DeliveryScope & { kind: "reorder_deliveries"; window: number; maxHoldMs?: number };

/** Discards the delivery without an attempt. */
export type LoseDeliveryFault = DeliveryScope & { kind: "lose_delivery" };

/** Treats the answer of an attempt as a timeout, so a delivery that arrived is retried. */
export type LoseAckFault = DeliveryScope & { kind: "lose_ack" };

/** Faults of HTTP calls. */
export type CallFault =
  | LatencyFault
  | ErrorFault
  | TooManyFault
  | RateLimitFault
  | ConcurrencyLimitFault
  | HangFault
  | ResetFault
  | GarbageFault
  | TruncatedFault
  | UnknownUserFault;

/** Faults of webhook deliveries. */
export type DeliveryFault =
  | DuplicateDeliveryFault
  | DelayDeliveryFault
  | ReorderDeliveriesFault
  | LoseDeliveryFault
  | LoseAckFault;

/** Any fault. */
export type Fault = CallFault | DeliveryFault | JwksDownFault | SearchLagFault | UserLagFault | TornReadFault;

/** A fault in effect. */
export interface ActiveFault {
  id: string;
  fault: Fault;
  /** Number of strikes so far. */
  struck: number;
}
