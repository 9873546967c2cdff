import { hash } from "node:crypto";
import type { Context } from "hono";
import type { ReadResult } from "kindling";

type Result = ReadResult<Record<string, unknown>>;

/**
 * Returns a weak entity tag over everything but the age: values stay the same over most refreshes, and equal tags let a
 * client keep what it has. https://www.rfc-editor.org/rfc/rfc9110#name-etag
 *
 * @param extra What else the body holds, if it is not derived from the result
 */
export function etagOf({ fetchedAt: _fetchedAt, age: _age, ...values }: Result, extra?: string): string {
  return `W/"${hash("sha1", JSON.stringify({ ...values, extra }), "base64")}"`;
}

/**
 * Not to be stored: a browser that revalidates a stored answer would repeat its old age. Clients that keep the values
 * send the tag themselves, as OFREP's providers do.
 */
export const uncached = "private, no-store";

/** Sends a body that depends on the user's values, or 304 if the client has them already. `extra`: see {@link etagOf}. */
export function sendTagged(context: Context, result: Result, body: object, extra?: string): Response {
  const headers: Record<string, string> = { "Cache-Control": uncached, Vary: "Authorization" };
  // What is answered without Redis must not replace what a client knows.
  if (result.status === "unavailable") return context.json(body, 200, headers);
  const etag = etagOf(result, extra);
  headers.ETag = etag;
  const known = context.req.header("if-none-match");
  if (known !== undefined && isListed(known, etag)) return context.body(null, 304, headers);
  return context.json(body, 200, headers);
}

// Weak comparison: proxies can make a strong tag weak, never the reverse.
function isListed(list: string, etag: string): boolean {
  return list.trim() === "*" || list.split(",").some((tag) => tag.trim().replace(/^(?!W\/)/, "W/") === etag);
}
