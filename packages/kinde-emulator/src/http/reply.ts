import { EmulatorError } from "../emulator-error.ts";

/** An answer, before it is put on the wire whole, mangled or not at all. */
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

/** Kinde's success without more: `{ code, message }` and what belongs to it. */
export const ok = (more: Record<string, unknown> = {}, status = 200): Reply =>
  json({ code: "OK", message: "Success", ...more }, status);

/** Kinde's error shape. */
export const failure = (status: number, code: string, message: string, headers: Record<string, string> = {}): Reply =>
  json({ errors: [{ code, message }] }, status, headers);

export const tooMany = (resetSeconds: number): Reply =>
  failure(429, "TOO_MANY_REQUESTS", "Too many requests.", { "ratelimit-reset": String(Math.ceil(resetSeconds)) });

/** A request that cannot be understood: 400. */
export class BadRequest extends EmulatorError {
  constructor(message: string, code = "invalid_request") {
    super(code, message);
  }
}

/** Errors of actions as answers: what is unknown is 404, the rest 400. */
export function failureOf(error: EmulatorError): Reply {
  const status = error.code.startsWith("unknown_") ? 404 : 400;
  return failure(status, error.code.toUpperCase(), error.message);
}
