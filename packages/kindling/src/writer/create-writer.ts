import { acceptValues } from "../definitions/accept-values.ts";
import { KindlingError, type KindlingErrorCode } from "../errors.ts";
import { fetchWithoutRedirects, RedirectRefused } from "../http/fetch-without-redirects.ts";
import { timeLimit, tokenOf } from "../http/time-limit.ts";
import { isUserId } from "../profile.ts";
import { announceWrites } from "./announce-writes.ts";
import type { PropertyValue, SetResult, Writer, WriterOptions } from "./types.ts";

/**
 * Creates a writer that sets properties through Kindling's HTTP API (`POST /v1/users/{id}/properties`).
 *
 * @param options See {@link WriterOptions} for each option and its default
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
  const writer: Writer<V> = {
    async setProperties(userId, properties, { refreshClaims = false, signal } = {}) {
      if (!isUserId(userId)) {
        throw new KindlingError("request_malformed", "A user id is kp_ followed by letters or digits.");
      }
      checkProperties(properties);
      signal?.throwIfAborted();
      const host = hostOf(base);
      const timeout = timeLimit(timeoutMs);
      const either = signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
      const bearer = await currentToken(token, either).catch((error: unknown) => {
        signal?.throwIfAborted();
        throw error;
      });
      const headers = headersWith(bearer);
      let status: number;
      let body: unknown;
      try {
        const response = await fetchWithoutRedirects(
          fetch,
          `${base}/v1/users/${encodeURIComponent(userId)}/properties`,
          {
            method: "POST",
            headers,
            body: JSON.stringify({ properties, refreshClaims }),
            signal: either,
          },
        );
        status = response.status;
        // The signals bound the body too: a body that is cut off must not pass for a malformed one.
        body = parseJson(await response.text());
      } catch (cause) {
        signal?.throwIfAborted();
        if (cause instanceof RedirectRefused) {
          throw new KindlingError("service_unavailable", `Kindling at ${host} ${cause.message}.`);
        }
        const reason = timeout.aborted ? `did not answer within ${timeoutMs} ms` : "could not be reached";
        throw new KindlingError(
          "service_unavailable",
          `Kindling at ${host} ${reason}: Kinde may have taken the values. Send them again.`,
          { cause },
        );
      }
      if (status !== 200) throw errorOf(status, body, host);
      if (!isResult(body)) throw unexpected(status, host);
      return {
        flags: acceptValues(definitions, { flags: body.flags }),
        ticket: body.ticket,
        fetchedAt: body.fetchedAt,
      };
    },
  };
  return options.reader === undefined ? writer : announceWrites(writer, options.reader);
}

/** Kinde's limit for one bulk write. https://docs.kinde.com/kinde-apis/management/#tag/users */
const maxProperties = 100;

// Checked before JSON drops or changes values: NaN would become null, which removes the property.
function checkProperties(properties: Readonly<Record<string, unknown>>): void {
  const entries = Object.entries(properties);
  if (entries.length === 0 || entries.length > maxProperties) {
    throw new KindlingError("request_malformed", `Set 1 to ${maxProperties} properties per call.`);
  }
  for (const [key, value] of entries) {
    if (key === "") throw new KindlingError("request_malformed", "A property key must not be empty.");
    if (isPropertyValue(value)) continue;
    throw new KindlingError(
      "request_malformed",
      `Property ${JSON.stringify(key)} must be a string, a finite number, a boolean or null.`,
    );
  }
}

function isPropertyValue(value: unknown): value is PropertyValue {
  return value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);
}

async function currentToken(
  token: WriterOptions<Record<string, unknown>>["token"],
  signal: AbortSignal,
): Promise<string> {
  try {
    return await tokenOf(token, signal);
  } catch (error) {
    // Without the error itself, which can quote a credential.
    const cause = error instanceof Error ? error.name : typeof error;
    throw new KindlingError("service_unauthorized", `The function that returns the writer's \`token\` threw ${cause}.`);
  }
}

// Built outside the request and without a cause: the platform's error quotes the header, and with it the token.
function headersWith(token: string): Headers {
  try {
    return new Headers({ authorization: `Bearer ${token}`, "content-type": "application/json" });
  } catch {
    throw new KindlingError(
      "service_unauthorized",
      "The `token` contains characters that an HTTP header cannot carry: check KINDLING_API_TOKEN.",
    );
  }
}

function hostOf(base: string): string {
  const url = URL.canParse(base) ? new URL(base) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new KindlingError(
      "service_unavailable",
      "The `url` must be an http or https URL without credentials, such as https://kindling.internal:3000.",
    );
  }
  return url.host;
}

/** The service's codes by the code that the app receives. */
const codes: ReadonlyMap<string, KindlingErrorCode> = new Map([
  ...(
    [
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
    ] as const
  ).map((code) => [code, code] as const),
  ["body_too_large", "request_malformed"],
  ["store_unavailable", "redis_unavailable"],
]);

function errorOf(status: number, body: unknown, host: string): KindlingError {
  const { code, message } = failureOf(body);
  const known = codes.get(code);
  if (known !== undefined) return new KindlingError(known, message || `Kindling at ${host} answered ${code}.`);
  if (status === 401) {
    return new KindlingError(
      "service_unauthorized",
      `Kindling at ${host} refused the token: check KINDLING_API_TOKEN.`,
    );
  }
  if (status === 403) {
    return new KindlingError("service_unauthorized", message || `Kindling at ${host} refused the token's scope.`);
  }
  if (status === 404) {
    return new KindlingError(
      "service_unavailable",
      `Kindling at ${host} has no write route: set KINDLING_API_TOKEN there, and check the URL.`,
    );
  }
  if (status === 429) {
    return new KindlingError("too_many_requests", `${host} answered with status 429: wait, then try again.`);
  }
  return unexpected(status, host);
}

function unexpected(status: number, host: string): KindlingError {
  return new KindlingError(
    "service_unavailable",
    `Kindling at ${host} sent an unexpected answer with status ${status}: try again.`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Parses `{ "error": { "code", "message" } }`, the body of the service's errors. A malformed member reads as empty. */
function failureOf(body: unknown): { code: string; message: string } {
  const error = isObject(body) && isObject(body.error) ? body.error : {};
  return {
    code: typeof error.code === "string" ? error.code : "",
    message: typeof error.message === "string" ? error.message : "",
  };
}

function isResult(body: unknown): body is SetResult<Record<string, unknown>> {
  return isObject(body) && isObject(body.flags) && Number.isFinite(body.ticket) && Number.isFinite(body.fetchedAt);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
