import { acceptValues } from "../definitions/accept-values.ts";
import { KindlingError, type KindlingErrorCode } from "../errors.ts";
import { isUserId } from "../user-id.ts";
import type { SetResult, Writer, WriterOptions } from "./types.ts";

/**
 * Creates a writer that sets properties through Kindling's HTTP API (`POST /v1/users/{id}/properties`).
 *
 * @example
 * ```ts
 * import { createWriter } from "kindling";
 * import definitions from "./kindling.flags.js";
 *
 * const writer = createWriter({
 *   url: "http://127.0.0.1:3000",
 *   token: process.env.KINDLING_API_TOKEN ?? "",
 *   definitions,
 * });
 * const { flags } = await writer.setProperties("kp_0123456789abcdef", { onboarded: true });
 * ```
 */
export function createWriter<V extends Record<string, unknown>>(options: WriterOptions<V>): Writer<V> {
  const { url, token, definitions, timeoutMs = 30_000, fetch = globalThis.fetch } = options;
  const base = url.replace(/\/+$/, "");
  return {
    async setProperties(userId, properties, { refreshClaims = false, signal } = {}) {
      if (!isUserId(userId)) {
        throw new KindlingError("request_malformed", "A user id is kp_ followed by letters or digits.");
      }
      const timeout = AbortSignal.timeout(timeoutMs);
      let status: number;
      let body: unknown;
      try {
        const response = await fetch(`${base}/v1/users/${encodeURIComponent(userId)}/properties`, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body: JSON.stringify({ properties, refreshClaims }),
          redirect: "error",
          signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
        });
        status = response.status;
        body = await response.json().catch(() => undefined);
      } catch (cause) {
        signal?.throwIfAborted();
        throw new KindlingError(
          "service_unavailable",
          `Kindling at ${hostOf(base)} did not answer: Kinde may have taken the values. Send them again.`,
          { cause },
        );
      }
      if (status !== 200) throw errorOf(status, body, hostOf(base));
      if (!isResult(body)) throw unexpected(status, hostOf(base));
      return {
        flags: acceptValues(definitions, body.flags),
        ticket: body.ticket,
        fetchedAt: body.fetchedAt,
      };
    },
  };
}

/** Codes of the service's answers that reach the app as they are. */
const passedOn: ReadonlySet<string> = new Set<KindlingErrorCode>([
  "request_malformed",
  "user_not_found",
  "kinde_rejected",
  "kinde_unauthorized",
  "kinde_forbidden",
  "kinde_unavailable",
  "throttled",
  "write_not_visible",
  "claims_not_refreshed",
  "too_many_requests",
]);

function errorOf(status: number, body: unknown, host: string): KindlingError {
  const { code = "", message = "" } = isFailure(body) ? body.error : {};
  if (isPassedOn(code)) return new KindlingError(code, message);
  if (status === 401) {
    return new KindlingError(
      "service_unauthorized",
      `Kindling at ${host} refused the token: check KINDLING_API_TOKEN.`,
    );
  }
  if (status === 404) {
    return new KindlingError(
      "service_unavailable",
      `Kindling at ${host} has no write route: set KINDLING_API_TOKEN there, and check the URL.`,
    );
  }
  return unexpected(status, host);
}

function unexpected(status: number, host: string): KindlingError {
  return new KindlingError("service_unavailable", `Kindling at ${host} answered with status ${status}: try again.`);
}

function isPassedOn(code: string): code is KindlingErrorCode {
  return passedOn.has(code);
}

function isFailure(body: unknown): body is { error: { code?: string; message?: string } } {
  return typeof body === "object" && body !== null && "error" in body && typeof body.error === "object";
}

function isResult(body: unknown): body is SetResult<Record<string, unknown>> {
  return (
    typeof body === "object" &&
    body !== null &&
    "flags" in body &&
    typeof body.flags === "object" &&
    body.flags !== null &&
    "ticket" in body &&
    typeof body.ticket === "number" &&
    "fetchedAt" in body &&
    typeof body.fetchedAt === "number"
  );
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "the configured URL";
}
