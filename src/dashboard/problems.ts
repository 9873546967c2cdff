import type { ContentfulStatusCode } from "hono/utils/http-status";
import { KindlingError } from "kindling";
import { errorCode, KindeError, ThrottledError } from "../errors.ts";

/** A request that cannot be answered, for the reason in the message. */
export class RequestError extends KindlingError<
  "request_malformed" | "role_missing" | "not_found" | "too_many_requests"
> {
  readonly status: 400 | 403 | 404 | 429;

  constructor(status: 400 | 403 | 404 | 429, message: string) {
    super(codes[status], message);
    this.status = status;
  }
}

const codes = {
  400: "request_malformed",
  403: "role_missing",
  404: "not_found",
  429: "too_many_requests",
} as const;

/** An error in words for an operator. */
export interface Problem {
  status: ContentfulStatusCode;
  title: string;
  message: string;
  /** Seconds. */
  retryAfter?: number;
}

/** 502: something must be changed in Kinde or in the settings. 503: the same can succeed later. */
const kindeStatuses: Readonly<Record<string, ContentfulStatusCode>> = {
  kinde_rejected: 400,
  user_not_found: 404,
  kinde_not_found: 404,
  kinde_unauthorized: 502,
  kinde_forbidden: 502,
  claims_not_refreshed: 502,
};

/** Explains an error. Kinde's reason can quote what was sent, so only the operator who sent it sees it. */
export function explainProblem(error: unknown): Problem {
  if (error instanceof RequestError)
    return { status: error.status, title: titleOf(error.status), message: error.message };
  if (error instanceof ThrottledError) {
    return {
      status: 503,
      title: "Calls to Kinde are paused",
      message: error.message,
      retryAfter: Math.ceil(error.retryAfterMs / 1000),
    };
  }
  if (error instanceof KindlingError) {
    const reason = error instanceof KindeError && error.reason !== undefined ? ` ${error.reason}` : "";
    const status = kindeStatuses[error.code] ?? 503;
    return { status, title: status === 404 ? "Not found" : "Not done", message: error.message + reason };
  }
  if (errorCode(error).startsWith("redis_") || errorCode(error).startsWith("E")) {
    return {
      status: 503,
      title: "Redis does not answer",
      message: "Nothing is lost: try again in a moment.",
      retryAfter: 2,
    };
  }
  return { status: 500, title: "This failed", message: `An unexpected error (${errorCode(error)}): see the log.` };
}

function titleOf(status: RequestError["status"]): string {
  return { 400: "This request is malformed", 403: "Read only", 404: "Not found", 429: "Too many requests" }[status];
}
