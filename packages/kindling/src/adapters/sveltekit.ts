/**
 * SvelteKit 2 and 3. Imports nothing of SvelteKit: a bundled app has a copy of its own.
 *
 * @module
 */
import type { Definitions } from "../definitions/define-flags.ts";
import { perRequest } from "../request/create-request-reader.ts";
import { findRefusal, type GuardOptions, type Requirement, signedIn } from "../request/guard.ts";
import type { ForRequest, RequestReader, SignedInResult, Token } from "../request/types.ts";

export type { GuardOptions, Requirement } from "../request/guard.ts";
export type { ForRequest } from "../request/types.ts";

/** The part of SvelteKit's `RequestEvent` that the hook needs. */
export interface KitEvent {
  readonly request: Request;
  readonly locals: object;
}

/**
 * Options for {@link kindlingHandle}.
 *
 * @typeParam Event SvelteKit's `RequestEvent`
 */
export interface KindlingHandleOptions<V extends Record<string, unknown>, Event extends KitEvent> {
  /** What `createKindling` returned, created with `verify`. */
  kindling: RequestReader<V>;
  /** Returns the caller's access token. Called at the first read; a throw means that the caller is not signed in. */
  token: (event: Event) => Token | Promise<Token>;
}

/**
 * Creates a hook that sets `locals.kindling`. Its types are structural, so it fits `Handle` of SvelteKit 2 and 3.
 *
 * @example
 * ```ts
 * // src/hooks.server.ts; in src/app.d.ts: interface Locals { kindling: ForRequest<typeof definitions> }
 * import { kindeAuthClient } from "@kinde-oss/kinde-auth-sveltekit";
 * import { kindlingHandle } from "kindling/sveltekit";
 * import { kindling } from "$lib/server/kindling";
 *
 * export const handle = kindlingHandle({ kindling, token: ({ request }) => kindeAuthClient.getToken(request) });
 * ```
 */
export function kindlingHandle<V extends Record<string, unknown>, Event extends KitEvent = KitEvent>({
  kindling,
  token,
}: KindlingHandleOptions<V, Event>) {
  return <E extends Event>({
    event,
    resolve,
  }: {
    event: E;
    resolve: (event: E) => Response | Promise<Response>;
  }): Response | Promise<Response> => {
    Object.assign(event.locals, { kindling: perRequest(kindling, { token: () => token(event) }) });
    return resolve(event);
  };
}

/** SvelteKit's own `error` and `redirect`. */
export interface KitThrows {
  error: (status: 401 | 403 | 503, message: string) => never;
  redirect: (status: 303, location: string) => never;
}

/**
 * Returns the caller's flags if they meet the requirement. Use it in `load`, actions, endpoints and hooks.
 *
 * @param read `locals.kindling`
 * @throws SvelteKit's `error` 401, 403 or 503, or its `redirect` 303 if the options name a location
 */
export type RequireFlag = <V extends Record<string, unknown>>(
  read: ForRequest<Definitions<V>>,
  requirement: Requirement<V>,
  options?: GuardOptions,
) => Promise<SignedInResult<V>>;

/**
 * Creates a guard that refuses callers in SvelteKit's own way.
 *
 * @param kit What `@sveltejs/kit` exports. Your app passes it, because errors of another copy would end as status 500
 *
 * @example
 * ```ts
 * import { error, redirect } from "@sveltejs/kit";
 * import { kindlingGuard } from "kindling/sveltekit";
 *
 * const requireFlag = kindlingGuard({ error, redirect });
 *
 * export const load = async ({ locals }) => {
 *   const { flags } = await requireFlag(locals.kindling, "onboarded", { signIn: "/api/auth/login", redirect: "/welcome" });
 *   return { tier: flags.tier };
 * };
 * ```
 */
export function kindlingGuard({ error, redirect }: KitThrows): RequireFlag {
  return async (read, requirement, options) => {
    const result = await read();
    const refusal = findRefusal(result, requirement, options);
    if (refusal === undefined) return signedIn(result);
    const { status, message, location } = refusal;
    return status === 303 ? redirect(status, location) : error(status, message);
  };
}
