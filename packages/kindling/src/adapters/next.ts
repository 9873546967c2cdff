/**
 * Next.js 16, App Router.
 *
 * @module
 */
/// <reference types="react/canary" />
import { forbidden, redirect, unauthorized, unstable_rethrow } from "next/navigation";
import { cache } from "react";
import { KindlingError } from "../errors.ts";
import { findRefusal, type GuardOptions, type Requirement, signedIn } from "../request/guard.ts";
import type { RequestReader, RequestResult, SignedInResult, Token } from "../request/types.ts";

export type { GuardOptions, Requirement } from "../request/guard.ts";

/** Options for {@link kindlingNext}. */
export interface KindlingNextOptions<V extends Record<string, unknown>> {
  /** What `createKindling` returned, created with `verify`. */
  kindling: RequestReader<V>;
  /**
   * Returns the caller's access token. Called at the first read; a throw means that the caller is not signed in, unless
   * Next throws to leave a static render.
   */
  token: () => Token | Promise<Token>;
}

/**
 * Reads the caller's flags: once per render, however many components ask. React's `cache` does not span route handlers,
 * server actions and `proxy.ts`: keep the answer there.
 *
 * @typeParam V Flag values by name
 */
export type ReadFlags<V> = () => Promise<RequestResult<V>>;

/**
 * Creates the function that reads the caller's flags in server components, server actions and route handlers.
 *
 * @example
 * ```ts
 * // lib/flags.ts
 * import { getKindeServerSession } from "@kinde-oss/kinde-auth-nextjs/server";
 * import { kindlingNext } from "kindling/next";
 * import { kindling } from "./kindling";
 *
 * export const readFlags = kindlingNext({ kindling, token: () => getKindeServerSession().getAccessTokenRaw() });
 * ```
 */
export function kindlingNext<V extends Record<string, unknown>>({
  kindling,
  token,
}: KindlingNextOptions<V>): ReadFlags<V> {
  const given = async () => {
    try {
      const credential = await token();
      return () => credential;
    } catch (error) {
      rethrowOfNext(error);
      return () => Promise.reject(error);
    }
  };
  return cache(async () => kindling.read({ token: await given() }));
}

/** Rethrows what Next throws to leave a render. Otherwise it would make a static page of the anonymous caller's. */
function rethrowOfNext(error: unknown): void {
  unstable_rethrow(error);
  // With `dynamic = "error"`, which Next's function does not know.
  if (error instanceof Error && "code" in error && error.code === "NEXT_STATIC_GEN_BAILOUT") throw error;
}

/**
 * Returns the caller's flags if they meet the requirement. Use it in server components and server actions.
 *
 * `unauthorized` and `forbidden` need `experimental.authInterrupts` in `next.config`; redirects do not.
 *
 * @throws {KindlingError} `flags_unavailable` if an outage hides the answer: Next renders `error.tsx`
 * @throws Next's `unauthorized` or `forbidden`, or its `redirect` if the options name a location
 *
 * @example
 * ```ts
 * import { requireFlag } from "kindling/next";
 * import { readFlags } from "../lib/flags";
 *
 * export default async function Page() {
 *   const { flags } = await requireFlag(readFlags, "onboarded", { signIn: "/api/auth/login", redirect: "/welcome" });
 *   return flags.tier;
 * }
 * ```
 */
export async function requireFlag<V extends Record<string, unknown>>(
  read: ReadFlags<V>,
  requirement: Requirement<V>,
  options?: GuardOptions,
): Promise<SignedInResult<V>> {
  const result = await read();
  const refusal = findRefusal(result, requirement, options);
  if (refusal === undefined) return signedIn(result);
  if (refusal.status === 303) redirect(refusal.location);
  if (refusal.status === 401) unauthorized();
  if (refusal.status === 403) forbidden();
  throw new KindlingError(
    "flags_unavailable",
    "The flags of the caller are not known, because Redis or Kinde's signing keys are unavailable: try again.",
  );
}

/**
 * Wraps a route handler: callers who do not meet the requirement get status 401, 403 or 503, or a redirect.
 *
 * @typeParam V Flag values by name
 * @typeParam Rest The handler's arguments after the request
 *
 * @example
 * ```ts
 * import { withFlag } from "kindling/next";
 * import { readFlags } from "../../lib/flags";
 *
 * export const GET = withFlag(readFlags, "admin", async (_request, { userId }) => Response.json({ userId }));
 * ```
 */
export function withFlag<V extends Record<string, unknown>, Rest extends unknown[]>(
  read: ReadFlags<V>,
  requirement: Requirement<V>,
  handler: (request: Request, result: SignedInResult<V>, ...rest: Rest) => Response | Promise<Response>,
  options?: GuardOptions,
): (request: Request, ...rest: Rest) => Promise<Response> {
  return async (request, ...rest) => {
    const result = await read();
    const refusal = findRefusal(result, requirement, options);
    if (refusal === undefined) return handler(request, signedIn(result), ...rest);
    const { status, message, location } = refusal;
    // Relative, as HTTP allows: behind a proxy, request.url names the wrong host.
    return new Response(message, { status, headers: location === undefined ? {} : { location } });
  };
}
