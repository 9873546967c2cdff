import type { Context, MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { failure } from "./failure.ts";

/**
 * Refuses bodies that are too large. Hono's own middleware turns every body into a stream to look at, at the price of
 * half a request; a length that the sender states needs no look, as HTTP reads no byte beyond it.
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
