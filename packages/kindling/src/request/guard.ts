import type { RequestResult, SignedInResult } from "./types.ts";

/** Names of the flags whose values are booleans. */
export type BooleanFlag<V> = { [Name in keyof V]-?: V[Name] extends boolean ? Name : never }[keyof V] & string;

/**
 * What a guard demands: a boolean flag that must be true, or a function of the flags that must return true.
 *
 * @typeParam V Flag values by name
 */
export type Requirement<V> = BooleanFlag<V> | ((flags: V) => boolean);

/** Where a guard sends callers, instead of answering with an error. */
export interface GuardOptions {
  /** For callers who are not signed in. Default: status 401. */
  signIn?: string;
  /** For users who lack the flag. Default: status 403. */
  redirect?: string;
}

/** How to answer a caller who does not pass a guard. 503: an outage hides whether the caller would pass. */
export type Refusal =
  | { readonly status: 401 | 403 | 503; readonly message: string; readonly location?: undefined }
  | { readonly status: 303; readonly message: string; readonly location: string };

/**
 * Returns why the caller does not pass, or `undefined` if they do. The adapters' guards use it.
 *
 * Only signed-in users pass. An outage is answered with 503 and never with a redirect: signing in again would not help.
 *
 * @example
 * ```ts
 * import { findRefusal, type ForRequest } from "kindling/request";
 * import type definitions from "./kindling.flags.js";
 *
 * export async function adminOnly(read: ForRequest<typeof definitions>): Promise<Response | undefined> {
 *   const refusal = findRefusal(await read(), "admin");
 *   return refusal && new Response(refusal.message, { status: refusal.status });
 * }
 * ```
 */
export function findRefusal<V>(
  { userId, reason, status, flags }: RequestResult<V>,
  requirement: Requirement<V>,
  { signIn, redirect }: GuardOptions = {},
): Refusal | undefined {
  if (reason === "keys_unavailable") return unavailable;
  if (userId === null) return refuse(401, "Unauthorized", signIn);
  // A promise, which JavaScript lets an async function return, is no `true`.
  if ((typeof requirement === "function" ? requirement(flags) : flags[requirement]) === true) return undefined;
  return status === "unavailable" ? unavailable : refuse(403, "Forbidden", redirect);
}

/** Narrows the result of a caller without a refusal: only signed-in users have none. */
export function signedIn<V>(result: RequestResult<V>): SignedInResult<V> {
  if (result.userId === null) throw new TypeError("An anonymous caller must have a refusal.");
  return result;
}

const unavailable: Refusal = { status: 503, message: "Service Unavailable" };

function refuse(status: 401 | 403, message: string, location: string | undefined): Refusal {
  return location === undefined ? { status, message } : { status: 303, message: "See Other", location };
}
