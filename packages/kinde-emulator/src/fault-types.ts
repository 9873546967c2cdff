/**
 * What can go wrong on purpose. A `Fault` is one object, told apart by `kind`; the scope fields say where, to whom, how
 * often and for how long it strikes. Faults of one kind may be set several times with different scopes.
 */

/** A time in milliseconds: fixed, or a range `[least, most]` drawn from the fault's own seeded generator. */
export type Duration = number | readonly [number, number];

/** How often and how long any fault strikes. */
export interface FaultLimits {
  /** Strikes at most this many times, then removes itself. */
  count?: number;
  /** Chance of each strike, 0 to 1. Default 1. */
  probability?: number;
  /** Seeds the draws of this fault (probability, ranges, shuffles). Default 1. */
  seed?: number;
  /** Ends this many milliseconds after it was set. */
  forMs?: number;
}

/** Which calls a fault strikes. */
export interface CallScope extends FaultLimits {
  /**
   * Path pattern: `*` stands for one segment, `**` for any number of them.
   * Default `/api/v1/**` (the Management API), so tokens and keys stay reachable unless named.
   */
  path?: string;
  /** HTTP method; default any. */
  method?: string;
  /** Only calls about this user (`/users/<id>/…` or `?id=`). */
  user?: string;
}

/** Which webhook deliveries a fault strikes. */
export interface DeliveryScope extends FaultLimits {
  /** Only these event types; default all. */
  eventTypes?: readonly string[];
  /** Only events about this user. */
  user?: string;
}

/** The call takes longer. `when: "after"` (default `"before"`) reads first and waits then, so the answer is already old. */
export type LatencyFault = CallScope & { kind: "latency"; ms: Duration; when?: "before" | "after" };

/** The call is answered with an error status (500, 503, 401, 403, 400, …) in Kinde's error shape. */
export type ErrorFault = CallScope & { kind: "error"; status: number; code?: string; message?: string };

/** 429 with `RateLimit-Reset: <resetSeconds>` (default 1), whatever the load. */
export type TooManyFault = CallScope & { kind: "too_many_requests"; resetSeconds?: number };

/** A real rate limiter: more than `calls` in a window of `windowMs` → 429; `RateLimit-Reset` tells when it reopens. */
export type RateLimitFault = CallScope & { kind: "rate_limit"; calls: number; windowMs: number };

/** A real concurrency limiter: a call that would make more than `max` at once → 429, `RateLimit-Reset: resetSeconds` (1). */
export type ConcurrencyLimitFault = CallScope & { kind: "concurrency_limit"; max: number; resetSeconds?: number };

/** The call is taken and never answered. */
export type HangFault = CallScope & { kind: "hang" };

/** The connection is reset; the call is not carried out. */
export type ResetFault = CallScope & { kind: "reset" };

/** Status 200 with a body that is no JSON; the call is carried out. */
export type GarbageFault = CallScope & { kind: "garbage" };

/** Half of the body, then the connection ends; the call is carried out. */
export type TruncatedFault = CallScope & { kind: "truncated" };

/** Unknown users are answered with this status instead of 404. Kinde documents neither. */
export type UnknownUserFault = CallScope & { kind: "unknown_user"; status: 400 | 404 };

/** The key set does not come: an error status (default 503), a hang, a reset or garbage. */
export type JwksDownFault = FaultLimits & {
  kind: "jwks_down";
  how?: "error" | "hang" | "reset" | "garbage";
  status?: number;
};

/** `/api/v1/search/users` shows users as they were `ms` ago (up to one hour). */
export type SearchLagFault = FaultLimits & { kind: "search_lag"; ms: number };

/**
 * A change made between the two calls that make up one user (`GET /user` and `GET /users/{id}/properties`, in any
 * order). After the first of the two was answered, `change` is made (no event); the second answers the state `before`
 * the change (a stale replica: both calls look consistent but old) or `after` it (a torn pair). Without `change`,
 * `before` answers whatever stood when the first call was answered.
 */
export type TornReadFault = FaultLimits & {
  kind: "torn_read";
  user?: string;
  answer: "before" | "after";
  change?: { properties?: Record<string, string | null>; isSuspended?: boolean; firstName?: string };
  /** Calls that lie further apart, in milliseconds, belong to two fetches and are not torn; default 5. */
  withinMs?: number;
};

/** The delivery is made 1 + `copies` times (default 1 copy), all with the same `webhook-id`. */
export type DuplicateDeliveryFault = DeliveryScope & { kind: "duplicate_delivery"; copies?: number };

/** The delivery's first attempt waits. */
export type DelayDeliveryFault = DeliveryScope & { kind: "delay_delivery"; ms: Duration };

/** Holds deliveries until `window` of them wait or `maxHoldMs` (default 200) passed, then sends them shuffled, one by one. */
export type ReorderDeliveriesFault = DeliveryScope & { kind: "reorder_deliveries"; window: number; maxHoldMs?: number };

/** The delivery is never attempted. */
export type LoseDeliveryFault = DeliveryScope & { kind: "lose_delivery" };

/** The delivery arrives, but its acknowledgement is taken for a failure, so it is retried. */
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

/** Every fault there is. */
export type Fault = CallFault | DeliveryFault | JwksDownFault | SearchLagFault | TornReadFault;

/** A fault in force. `struck` counts its strikes so far. */
export interface ActiveFault {
  id: string;
  fault: Fault;
  struck: number;
}
