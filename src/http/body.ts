import type { Context, MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";

/** Returns the body of an error answer: a stable code, and a message for developers. */
export function failure(code: string, message: string) {
  return { error: { code, message } };
}

/**
 * Rejects request bodies larger than `maxBytes` with 413. Hono's `bodyLimit` wraps every body in a stream, at about half
 * the cost of a whole request. A `content-length` makes that unnecessary, because Node reads no further than it says.
 */
export function limitBody(maxBytes: number): MiddlewareHandler {
  const refuse = (context: Context) =>
    context.json(failure("body_too_large", `The body exceeds ${maxBytes} bytes.`), 413);
  const counting = bodyLimit({ maxSize: maxBytes, onError: refuse });
  return async (context, next) => {
    const stated = context.req.header("content-length");
    if (stated === undefined || context.req.header("transfer-encoding") !== undefined) return counting(context, next);
    if (Number(stated) > maxBytes) return refuse(context);
    return next();
  };
}
