import { errors, type JWTPayload, jwtVerify } from "jose";
import { KindlingError } from "../errors.ts";
import { isUserId } from "../profile.ts";
import { createKeySet, KeysUnavailable } from "./key-set.ts";
import type { Verification, Verify } from "./types.ts";

/** Options for {@link createVerifier}. */
export interface VerifierOptions {
  /** Your Kinde domain as a URL, as in `KINDE_ISSUER_URL`: `https://acme.kinde.com`. Plain http only for loopback. */
  issuer: string;
  /** Client ids of the applications whose tokens count: one of them must be the token's `azp`. */
  clientIds: readonly string[];
  /** The audience that a token must name in `aud`. Default: any. Set it if your app asks Kinde for one. */
  audience?: string | undefined;
  /** Time limit for fetching the signing keys, in milliseconds. Default 2,000. */
  timeoutMs?: number;
  /** Shortest time between two fetches of the signing keys, in milliseconds. Default 10,000. */
  cooldownMs?: number;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch;
  /** Returns the time in milliseconds since the epoch. Default `Date.now`. */
  now?: () => number;
}

/** Longer tokens are refused unread. Browsers refuse cookies over 4 KiB, servers headers over 16 KiB. */
const maxTokenLength = 16_384;

/** Claims that only ID tokens have. */
const idTokenClaims = ["at_hash", "c_hash", "nonce", "auth_time"];
/** Claims that only webhooks have. They are signed with the same keys. */
const webhookClaims = ["type", "event_id"];

/**
 * Creates a function that verifies access tokens of Kinde users: signature (RS256, by the tenant's own keys), issuer,
 * application, expiry and, if given, audience. Webhooks, ID tokens and machine-to-machine tokens are refused, although
 * the same keys sign them. Create one per process: it caches the signing keys.
 *
 * @throws {KindlingError} `invalid_options` if `issuer` is not such a URL, or `clientIds` is empty
 *
 * @example
 * ```ts
 * import { createVerifier } from "kindling/request";
 *
 * const verify = createVerifier({ issuer: "https://acme.kinde.com", clientIds: ["your_client_id"] });
 * const verified = await verify(token);
 * console.log(verified.userId ?? verified.reason);
 * ```
 */
export function createVerifier(options: VerifierOptions): Verify {
  const { clientIds, audience, timeoutMs = 2_000, cooldownMs = 10_000, now = Date.now } = options;
  const issuer = checkIssuer(options.issuer);
  if (clientIds.length === 0 || clientIds.some((id) => typeof id !== "string" || id === "")) {
    throw new KindlingError("invalid_options", "createVerifier needs clientIds: the client ids of your applications.");
  }
  // Called as a plain function: browsers' fetch refuses another `this`.
  const fetch: typeof globalThis.fetch = options.fetch ?? ((...request) => globalThis.fetch(...request));
  const keys = createKeySet({ url: `${issuer}/.well-known/jwks`, fetch, now, timeoutMs, cooldownMs });

  return async (token) => {
    if (token.length > maxTokenLength) return invalid(`the token is longer than ${maxTokenLength} characters`);
    try {
      const { payload } = await jwtVerify(token, keys, {
        algorithms: ["RS256"],
        issuer,
        ...(audience === undefined ? {} : { audience }),
        requiredClaims: ["exp", "azp"],
        currentDate: new Date(now()),
      });
      const problem = findProblem(payload, clientIds);
      // jose has checked that `sub` is a string if present, and findProblem that it is a user id.
      return problem === undefined ? { userId: String(payload.sub), claims: payload } : invalid(problem);
    } catch (error) {
      if (error instanceof errors.JWTExpired)
        return { userId: null, reason: "token_expired", detail: "it has expired" };
      // jose's messages name claims and algorithms, never values.
      if (error instanceof errors.JOSEError) return invalid(error.message);
      const detail = error instanceof KeysUnavailable ? error.message : "the token could not be verified";
      return { userId: null, reason: "keys_unavailable", detail };
    }
  };
}

function invalid(detail: string): Verification {
  return { userId: null, reason: "token_invalid", detail };
}

function findProblem(payload: JWTPayload, clientIds: readonly string[]): string | undefined {
  const { aud, azp, sub, gty } = payload;
  if (typeof azp !== "string" || !clientIds.includes(azp)) return "it was issued to another application (azp)";
  if (webhookClaims.some((claim) => claim in payload)) return "it is a webhook";
  if (gty !== undefined) return "it is a machine-to-machine token (gty)";
  // An ID token names the application as its audience.
  const audiences = typeof aud === "string" ? [aud] : (aud ?? []);
  if (idTokenClaims.some((claim) => claim in payload) || audiences.includes(azp)) return "it is an ID token";
  return isUserId(sub) ? undefined : "it names no user (sub)";
}

/** Returns the issuer as tokens name it. */
function checkIssuer(issuer: string): string {
  try {
    const { protocol, hostname, origin, href } = new URL(issuer);
    const isLoopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname);
    const isBare = href === `${origin}/`;
    if (isBare && (protocol === "https:" || (protocol === "http:" && isLoopback))) return origin;
  } catch {
    // Reported below.
  }
  throw new KindlingError(
    "invalid_options",
    "createVerifier needs issuer: the https URL of your Kinde domain without a path, such as https://acme.kinde.com.",
  );
}
