import { KindlingError } from "kindling";

/**
 * Every error Kindling throws on purpose: one base class, a stable `code` each.
 *
 * Messages say what to do next and never carry a secret, a token, an e-mail address or a phone number.
 */

/** The settings do not fit. `problems` holds one line for each, so that all can be mended at once. */
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

/** Redis cannot be reached, or is not fit to hold what must not be lost. */
export class RedisError extends KindlingError<"redis_unavailable" | "redis_unsuitable"> {}

/** What a webhook request can be refused for; the HTTP status follows from it. */
export type WebhookErrorCode =
  | "token_malformed"
  | "token_forged"
  | "user_token_refused"
  | "event_malformed"
  | "event_too_old"
  | "event_from_future"
  | "keys_unavailable";

/** A webhook request that is not acknowledged: a bad token, a bad event, or signing keys out of reach. */
export class WebhookError extends KindlingError<WebhookErrorCode> {}

/** How a call to Kinde failed. Each asks for another answer: see {@link KindeError}. */
export type KindeErrorCode =
  /** Network, time-out, 5xx or an answer that makes no sense: worth trying again. */
  | "kinde_unavailable"
  /** 401 even with a new token, or the credentials refused: the configuration is wrong. */
  | "kinde_unauthorized"
  /** 403: the application lacks a scope. */
  | "kinde_forbidden"
  /** 404: there is no such thing at Kinde. */
  | "kinde_not_found"
  /** Any other 4xx: this request is wrong and stays wrong. */
  | "kinde_rejected";

/** A call to Kinde that failed. The message names the route, never a person. */
export class KindeError extends KindlingError<KindeErrorCode> {
  /** HTTP status, where an answer came at all. */
  readonly status: number | undefined;
  /** Kinde's own words, where it gave any. They may quote what was sent: for the caller, never for a log. */
  readonly reason: string | undefined;

  constructor(code: KindeErrorCode, message: string, options?: { cause?: unknown; status?: number; reason?: string }) {
    super(code, message, options);
    this.status = options?.status;
    this.reason = options?.reason;
  }
}

/** No call may be made now: Kinde asked for a pause, or the shared call budget is used up. Nobody's fault; wait. */
export class ThrottledError extends KindlingError<"throttled"> {
  /** Milliseconds until it is worth asking again. */
  readonly retryAfterMs: number;

  constructor(retryAfterMs: number, options?: { cause?: unknown }) {
    super(
      "throttled",
      `No call to Kinde for ${Math.ceil(retryAfterMs)} ms: its limit or our call budget is reached.`,
      options,
    );
    this.retryAfterMs = Math.max(1, Math.ceil(retryAfterMs));
  }
}

/**
 * The stable code of any error: our own, else Node's `code`, else `redis_unavailable` where Redis gave no answer and
 * `redis_` with its own word where it refused (`redis_oom`, `redis_readonly`, `redis_noauth`), else `unexpected`.
 */
export function errorCode(error: unknown): string {
  if (error instanceof KindlingError) return error.code;
  if (!(error instanceof Error)) return "unexpected";
  if ("code" in error && typeof error.code === "string") return error.code;
  if (error.name === "ReplyError") return `redis_${/^[A-Z]+/.exec(error.message)?.[0].toLowerCase() ?? "error"}`;
  return isNoAnswer(error) ? "redis_unavailable" : "unexpected";
}

// ioredis gives these neither a class nor a code.
function isNoAnswer({ name, message }: Error): boolean {
  return (
    name === "MaxRetriesPerRequestError" ||
    /^(Command timed out|Connection is closed|Stream isn't writeable)/.test(message)
  );
}
