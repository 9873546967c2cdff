import { KindlingError } from "kindling";

/**
 * The errors that the service throws deliberately. They share one base class and have stable codes.
 *
 * Messages say what to do next and never contain a secret, a token, an email address or a phone number.
 */

/** Invalid settings. `problems` lists all of them, so that they can be fixed at once. */
export class ConfigurationError extends KindlingError<"configuration_invalid"> {
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: { cause?: unknown }) {
    super(
      "configuration_invalid",
      problems.length === 1 ? String(problems[0]) : problems.map((problem) => `\n  - ${problem}`).join(""),
      options,
    );
    this.problems = problems;
  }
}

/** Redis cannot be reached, or is configured in a way that can lose data. */
export class RedisError extends KindlingError<"redis_unavailable" | "redis_unsuitable"> {}

/** The store in Redis belongs to another Kinde tenant than the settings name. */
export class TenantError extends KindlingError<"tenant_mismatch"> {}

/** Why a webhook request is rejected. The code determines the HTTP status. */
export type WebhookErrorCode =
  | "token_malformed"
  | "token_forged"
  | "issuer_refused"
  | "user_token_refused"
  | "event_malformed"
  | "event_too_old"
  | "event_from_future"
  | "key_unknown"
  | "keys_unavailable";

/** A webhook request that is not acknowledged: an invalid token or event, or unavailable signing keys. */
export class WebhookError extends KindlingError<WebhookErrorCode> {}

/** Why a user's access token is not accepted. Only `keys_unavailable` is temporary. */
export type UserTokenErrorCode = "token_expired" | "token_refused" | "keys_unavailable";

/** A user's access token that cannot be accepted. */
export class UserTokenError extends KindlingError<UserTokenErrorCode> {}

/** A change of flags that an endpoint did not take. The message names the host only: a URL can contain a secret. */
export class PushError extends KindlingError<"push_failed" | "push_refused"> {}

/** How a call to Kinde failed. Each code needs a different reaction. */
export type KindeErrorCode =
  /** Network error, timeout, 5xx or a malformed answer. Try again. */
  | "kinde_unavailable"
  /** 401 even with a new token, or rejected credentials. Fix the configuration. */
  | "kinde_unauthorized"
  /** 403. The application lacks a scope. */
  | "kinde_forbidden"
  /** 404. The resource does not exist in Kinde. */
  | "kinde_not_found"
  /** Any other 4xx. Repeating the request does not help. */
  | "kinde_rejected";

/** A failed call to Kinde. The message names the route and never contains personal data. */
export class KindeError extends KindlingError<KindeErrorCode> {
  /** HTTP status, if Kinde answered. */
  readonly status: number | undefined;
  /** Kinde's error message, if any. It can quote what was sent, so show it to the caller but never log it. */
  readonly reason: string | undefined;

  constructor(code: KindeErrorCode, message: string, options?: { cause?: unknown; status?: number; reason?: string }) {
    super(code, message, options);
    this.status = options?.status;
    this.reason = options?.reason;
  }
}

/**
 * Kinde does not find a user, which is not yet believed: `absence_unconfirmed` while it could be a copy of Kinde's that
 * lags, `absence_suspended` while Kinde does not find other users either. Nothing has changed; try again.
 */
export class AbsenceError extends KindlingError<"absence_unconfirmed" | "absence_suspended"> {}

type ThrottledScope = "all" | "one" | "write";

const throttled: Readonly<Record<ThrottledScope, string>> = {
  all: "Calls to Kinde are suspended: its rate limit or the call budget is exhausted.",
  one: "Kinde limits the calls about this user or of this route.",
  write: "Another write of this user is in progress.",
};

/**
 * Calls are suspended: Kinde answered 429, the shared call budget is used up, or another write of the same user is in
 * progress. Wait and try again.
 */
export class ThrottledError extends KindlingError<"throttled"> {
  /** Milliseconds until the next attempt makes sense. */
  readonly retryAfterMs: number;
  /**
   * `all`: no call makes sense before. `one`: only calls about the same user, or of the same route. `write`: only writes
   * of the same user.
   */
  readonly scope: ThrottledScope;

  constructor(retryAfterMs: number, options: { cause?: unknown; scope?: ThrottledScope } = {}) {
    const { scope = "all", ...rest } = options;
    super("throttled", `${throttled[scope]} Try again in ${Math.ceil(retryAfterMs)} ms.`, rest);
    this.scope = scope;
    this.retryAfterMs = Math.max(1, Math.ceil(retryAfterMs));
  }
}

/**
 * Returns a stable code for any error: the code of a {@link KindlingError} or Node error, `redis_unavailable` if Redis
 * did not answer, `redis_` plus the error prefix if it refused (`redis_oom`, `redis_readonly`, `redis_noauth`), or
 * `unexpected`.
 */
export function errorCode(error: unknown): string {
  if (error instanceof KindlingError) return error.code;
  if (!(error instanceof Error)) return "unexpected";
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error.name === "ReplyError") return `redis_${/^[A-Z]+/.exec(error.message)?.[0].toLowerCase() ?? "error"}`;
  return isNoAnswer(error) ? "redis_unavailable" : "unexpected";
}

// ioredis gives these errors neither a class nor a code.
function isNoAnswer({ name, message }: Error): boolean {
  return (
    name === "MaxRetriesPerRequestError" ||
    /^(Command timed out|Connection is closed|Stream isn't writeable)/.test(message)
  );
}

const connectionProblems: readonly (readonly [RegExp, string])[] = [
  [/^ENOTFOUND$/, "the host name does not exist"],
  [/^EAI_AGAIN$/, "the host name cannot be resolved at the moment"],
  [/^ECONNREFUSED$/, "nothing listens on that port"],
  [/^(ECONNRESET|EPIPE|UND_ERR_SOCKET)$/, "the connection was closed"],
  [/^(ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/, "no answer to the connection attempt"],
  [/^(EHOSTUNREACH|ENETUNREACH)$/, "there is no route to the host"],
  [/^CERT_HAS_EXPIRED$/, "its certificate has expired"],
  [/^ERR_TLS_CERT_ALTNAME_INVALID$/, "its certificate is for another host"],
  [
    /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?))$/,
    "its certificate is not trusted (NODE_EXTRA_CA_CERTS adds authorities)",
  ],
  [/^(ERR_SSL_\w+|EPROTO)$/, "it does not speak TLS on that port"],
  [/^HPE_/, "it does not speak HTTP on that port"],
];

/** Returns why a connection failed, in words for an operator; `undefined` if the error names no known cause. */
export function connectionProblem(error: unknown): string | undefined {
  // `fetch` hides the reason in its cause.
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth += 1) {
    const code = "code" in cause ? String(cause.code) : "";
    const problem = connectionProblems.find(([pattern]) => pattern.test(code))?.[1];
    if (problem !== undefined) return problem;
  }
  return undefined;
}
