import type { Context, MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";

/** How much an answer and the log say about a malformed body: it can be wrong in ten thousand places. */
const [mostIssues, longestDescription] = [3, 500];

/** Describes what is wrong with a body. Names paths and rules only: values can be personal data. */
export function describeIssues({ issues }: z.ZodError): string {
  const described = issues
    .slice(0, mostIssues)
    .map((issue) => `${issue.path.join(".") || "The body"}: ${ruleOf(issue)}`);
  const more = issues.length > mostIssues ? [`and ${issues.length - mostIssues} more`] : [];
  return [...described.map((text) => text.slice(0, longestDescription)), ...more].join("; ");
}

function ruleOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== "unrecognized_keys") return issue.message;
  const known = issue.keys.filter((key) => /^\w{1,40}$/.test(key)).slice(0, mostIssues);
  return ["has unknown members", ...(known.length > 0 ? [known.join(", ")] : [])].join(": ");
}

/** Returns the body of an error answer: a stable code, and a message for developers. */
export function failure(code: string, message: string) {
  return { error: { code, message } };
}

/** A request to refuse. */
export interface Refusal {
  /** Name of the route for counters and the log: a constant, never a path that a caller chose. */
  route: string;
  status: ContentfulStatusCode;
  /** One of a fixed set of codes. */
  code: string;
  /** For the caller and the log: it contains no token and no value. */
  message: string;
  /** Whether to count the request against the limit of its source. Default: every status below 500. */
  blame?: boolean;
  /** When to try again, in seconds. */
  retryAfter?: number;
  /** Error behind a failure of ours, for the log. */
  cause?: unknown;
}

/** Counts and logs a refused request and returns the answer. See `createRefusals`. */
export type Refuse = (context: Context, refusal: Refusal) => Response;

/** Options for {@link limitBody}. */
export interface LimitBodyOptions {
  route: string;
  refuse: (context: Context, refusal: Refusal) => Response | Promise<Response>;
}

/**
 * Reads the body, before the handler asks for it. Rejects one larger than `maxBytes` with 413, and one that breaks off with
 * 400: its sender has gone, so nothing of ours has failed.
 *
 * Hono's `bodyLimit` wraps every body in a stream, at about half the cost of a whole request. A `content-length` makes that
 * unnecessary, because Node reads no further than it says.
 */
export function limitBody(maxBytes: number, { route, refuse }: LimitBodyOptions): MiddlewareHandler {
  const tooLarge = (context: Context) =>
    refuse(context, { route, status: 413, code: "body_too_large", message: `The body exceeds ${maxBytes} bytes.` });
  const incomplete = (context: Context) =>
    refuse(context, { route, status: 400, code: "body_incomplete", message: "The body broke off: send it again." });
  const counting = bodyLimit({ maxSize: maxBytes, onError: tooLarge });
  return async (context, next) => {
    const stated = context.req.header("content-length");
    const isCounted = stated === undefined || context.req.header("transfer-encoding") !== undefined;
    if (!isCounted && Number(stated) > maxBytes) return tooLarge(context);
    let read = false;
    const handle = () => {
      read = true;
      return next();
    };
    try {
      if (isCounted) return await counting(context, handle);
      await context.req.text();
    } catch (error) {
      if (read) throw error;
      return incomplete(context);
    }
    return handle();
  };
}
