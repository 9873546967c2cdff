import type { Definitions } from "../definitions/define-flags.ts";
import { perRequest } from "../request/create-request-reader.ts";
import type { ForRequest, RequestReader, Token } from "../request/types.ts";

/** Returns the token of an `Authorization: Bearer` header. */
export function bearerToken(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
}

/** Returns a function that finds the reads of a request, so that middleware and guards share them. */
export function createReads<V extends Record<string, unknown>, Req extends object>(
  kindling: RequestReader<V>,
  token: (request: Req) => Token | Promise<Token>,
): (request: Req) => ForRequest<Definitions<V>> {
  const reads = new WeakMap<Req, ForRequest<Definitions<V>>>();
  return (request) => {
    const held = reads.get(request);
    if (held !== undefined) return held;
    const read = perRequest(kindling, { token: () => token(request) });
    reads.set(request, read);
    return read;
  };
}
