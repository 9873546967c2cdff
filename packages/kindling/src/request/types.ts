import type { UserClaims } from "../definitions/claims.ts";
import type { Definitions, InferFlags } from "../definitions/define-flags.ts";
import type { ReadResult } from "../reader/types.ts";

/**
 * Why a caller counts as anonymous.
 *
 * - `no_token`: the request has no token, or the function that should return it threw.
 * - `token_expired`: the token was valid once.
 * - `token_invalid`: forged, malformed, of another tenant or application, or not an access token of a user.
 * - `keys_unavailable`: an outage. The tenant's signing keys could not be fetched, or the key is newer than those fetched
 *   within the cooldown, so the token may well be valid.
 * - `user_deleted`: the token is valid, or the app has authenticated the user, but Kinde has deleted the user since.
 */
export type AnonymousReason = "no_token" | "token_expired" | "token_invalid" | "keys_unavailable" | "user_deleted";

/** The outcome of verifying a token. */
export type Verification =
  | { readonly userId: string; readonly claims: UserClaims }
  | {
      readonly userId: null;
      readonly reason: Exclude<AnonymousReason, "no_token" | "user_deleted">;
      /** What is wrong, in words for an operator. Contains no token and no personal data. */
      readonly detail: string;
    };

/** Verifies an access token. Never rejects. Created by `createVerifier`. */
export type Verify = (token: string) => Promise<Verification>;

/** An access token, or nothing for a caller who is not signed in. */
export type Token = string | null | undefined;

/**
 * The caller of one request: an access token to verify, or the id of a user that the app has authenticated itself. A
 * function is called at the first read, so a request that reads no flags costs nothing.
 */
export type Caller =
  | { readonly token: Token | (() => Token | Promise<Token>) }
  | {
      readonly userId: Token | (() => Token | Promise<Token>);
      /** Code of the organization the user acts in. A token names it itself. */
      readonly organization?: string | null | undefined;
    };

/**
 * The flags of a signed-in caller, as guards return them.
 *
 * @typeParam V Flag values by name
 */
export type SignedInResult<V> = ReadResult<V> & { readonly userId: string; readonly reason: null };

/**
 * The caller's flags. An anonymous caller has the defaults, except that flags with a deny rule have its `value`.
 *
 * @typeParam V Flag values by name
 */
export type RequestResult<V> =
  | SignedInResult<V>
  | (ReadResult<V> & {
      readonly userId: null;
      readonly reason: AnonymousReason;
      /** What is wrong, in words for an operator. Contains no token and no personal data. */
      readonly detail: string;
    });

/**
 * Reads the flags of the caller. The first call reads, later calls return the same promise. Never rejects.
 *
 * @typeParam D Type of the definitions
 *
 * @example
 * ```ts
 * import type { ForRequest } from "kindling/request";
 * import type definitions from "./kindling.flags.js";
 *
 * export async function greeting(flags: ForRequest<typeof definitions>): Promise<string> {
 *   const { userId, flags: { tier } } = await flags();
 *   return userId === null ? "Hello" : `Hello, ${tier} user`;
 * }
 * ```
 */
export interface ForRequest<D extends Definitions = Definitions> {
  (): Promise<RequestResult<InferFlags<D>>>;
  /** Forgets the answer, so that the next call reads again. Call it after setting properties within a request. */
  forget(): void;
}

/**
 * Reads flags of callers. Created by `createRequestReader`; pass it to a framework's adapter.
 *
 * @typeParam V Flag values by name
 */
export interface RequestReader<V extends Record<string, unknown>> {
  /**
   * Verifies the caller's token and reads the flags. Never rejects. Requests that present one token at the same time
   * share a read, but only one that was not sent to Redis before they came: everyone sees their own writes.
   */
  read(caller: Caller): Promise<RequestResult<V>>;
  /** Closes the reader. Your Redis client stays open. */
  close(): void;
}
