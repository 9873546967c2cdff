/**
 * The caller's flags in a request: verifies the token, reads once. The framework adapters build on it. Needs `jose`.
 *
 * @module
 */
export { createRequestReader, perRequest, type RequestReaderOptions } from "./request/create-request-reader.ts";
export { createVerifier, type VerifierOptions } from "./request/create-verifier.ts";
export { type BooleanFlag, findRefusal, type GuardOptions, type Refusal, type Requirement } from "./request/guard.ts";
export { oncePerProcess } from "./request/once-per-process.ts";
export type {
  AnonymousReason,
  Caller,
  ForRequest,
  RequestReader,
  RequestResult,
  SignedInResult,
  Token,
  Verification,
  Verify,
} from "./request/types.ts";
