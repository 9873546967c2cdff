import type { Definitions } from "../definitions/define-flags.ts";
import { answerWithoutUser } from "../reader/compose-answer.ts";
import type { Reader, ReadOptions } from "../reader/types.ts";
import { createShare } from "./create-share.ts";
import type { AnonymousReason, Caller, ForRequest, RequestReader, RequestResult, Token, Verify } from "./types.ts";

/**
 * Options for {@link createRequestReader}.
 *
 * @typeParam V Flag values by name
 */
export interface RequestReaderOptions<V extends Record<string, unknown>> {
  /** What `createReader` returned. */
  reader: Reader<V>;
  /** What `createVerifier` returned. */
  verify: Verify;
}

type CallerOptions = Pick<ReadOptions, "claims"> & { organization?: string | null };

/**
 * Creates a reader of callers' flags. Create one per process and pass it to your framework's adapter.
 *
 * @example
 * ```ts
 * import { Redis } from "ioredis";
 * import { createReader } from "kindling";
 * import { createRequestReader, createVerifier } from "kindling/request";
 * import definitions from "./kindling.flags.js";
 *
 * export const kindling = createRequestReader({
 *   reader: createReader({ redis: new Redis("redis://127.0.0.1:6379"), definitions }),
 *   verify: createVerifier({ issuer: "https://acme.kinde.com", clientIds: ["your_client_id"] }),
 * });
 * ```
 */
export function createRequestReader<V extends Record<string, unknown>>({
  reader,
  verify,
}: RequestReaderOptions<V>): RequestReader<V> {
  const share = createShare<RequestResult<V>>();

  const anonymous = (reason: AnonymousReason, detail: string): RequestResult<V> => ({
    ...answerWithoutUser(reader.definitions),
    userId: null,
    reason,
    detail,
  });

  const readUser = async (userId: string, options: CallerOptions): Promise<RequestResult<V>> => {
    // A reader of the app's own making can reject.
    const answer = await reader.get(userId, options).catch(() => answerWithoutUser(reader.definitions, "unavailable"));
    // A token outlives its user: flags of a deleted one are defaults, which must not let anyone in.
    if (answer.status === "deleted") {
      return { ...answer, userId: null, reason: "user_deleted", detail: "Kinde has deleted the user" };
    }
    return { ...answer, userId, reason: null };
  };

  const readToken = (token: string) =>
    share(`token ${token}`, async (depart) => {
      const verified = await verify(token).catch((error: unknown) => ({
        userId: null,
        reason: "keys_unavailable" as const,
        detail: `the verifier threw ${nameOf(error)}`,
      }));
      depart();
      return verified.userId === null
        ? anonymous(verified.reason, verified.detail)
        : readUser(verified.userId, { claims: verified.claims });
    });

  const readTrusted = (userId: string, organization: string | null | undefined) =>
    share(`user ${JSON.stringify([userId, organization])}`, async (depart) => {
      depart();
      return readUser(userId, organization === undefined ? {} : { organization });
    });

  return {
    async read(caller) {
      const given = "token" in caller ? caller.token : caller.userId;
      let credential: Token;
      try {
        credential = typeof given === "function" ? await given() : given;
      } catch (error) {
        // Kinde's SDKs throw for a visitor who is not signed in.
        return anonymous("no_token", `the function that returns the token threw ${nameOf(error)}`);
      }
      if (typeof credential !== "string" || credential === "") return anonymous("no_token", "the request has no token");
      return "token" in caller ? readToken(credential) : readTrusted(credential, caller.organization);
    },
    close: () => reader.close(),
  };
}

/**
 * Returns a function that reads the caller's flags once, however often it is called.
 *
 * @example
 * ```ts
 * import { perRequest, type RequestReader } from "kindling/request";
 *
 * export async function handle(request: Request, kindling: RequestReader<{ tier: string }>): Promise<Response> {
 *   const read = perRequest(kindling, { token: request.headers.get("authorization")?.slice("Bearer ".length) });
 *   const { flags, userId } = await read();
 *   return Response.json({ signedIn: userId !== null, tier: flags.tier });
 * }
 * ```
 */
export function perRequest<V extends Record<string, unknown>>(
  kindling: RequestReader<V>,
  caller: Caller,
): ForRequest<Definitions<V>> {
  let answer: Promise<RequestResult<V>> | undefined;
  const read = () => {
    answer ??= kindling.read(caller);
    return answer;
  };
  return Object.assign(read, {
    forget() {
      answer = undefined;
    },
  });
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
