import { EmulatorError } from "../emulator-error.ts";

/** An answer that has not been sent yet, so faults can still corrupt or replace it. */
export interface Reply {
  status: number;
  body: string;
  headers: Record<string, string>;
}

const JSON_TYPE = { "content-type": "application/json; charset=utf-8" };

export const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Reply => ({
  status,
  body: JSON.stringify(body),
  headers: { ...JSON_TYPE, ...headers },
});

/** Kinde's success format: `code`, `message` and the given fields. */
export const ok = (fields: Record<string, unknown> = {}, status = 200): Reply =>
  json({ code: "OK", message: "Success", ...fields }, status);

/** Kinde's error format. */
export const failure = (status: number, code: string, message: string, headers: Record<string, string> = {}): Reply =>
  json({ errors: [{ code, message }] }, status, headers);

export const tooMany = (resetSeconds: number): Reply =>
  failure(429, "TOO_MANY_REQUESTS", "Too many requests.", { "ratelimit-reset": String(Math.ceil(resetSeconds)) });

/** A malformed request, answered with 400. */
export class BadRequest extends Error {
  readonly code: string;

  constructor(message: string, code = "invalid_request") {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Returns the answer for a rejected request: 404 if something is unknown, otherwise 400. Undefined for other errors. */
export function failureOf(error: unknown): Reply | undefined {
  if (!(error instanceof EmulatorError || error instanceof BadRequest)) return undefined;
  const status = error.code.startsWith("unknown_") ? 404 : 400;
  return failure(status, error.code.toUpperCase(), error.message);
}
