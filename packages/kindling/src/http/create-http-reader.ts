import { copyDefaults } from "../definitions/accept-values.ts";
import { deriveFromClaims, issuedAt, type UserClaims } from "../definitions/claims.ts";
import type { Definitions } from "../definitions/define-flags.ts";
import { KindlingError } from "../errors.ts";
import { isUserId } from "../profile.ts";
import { composeAnswer } from "../reader/compose-answer.ts";
import { countReads } from "../reader/count-reads.ts";
import { type FreshnessRules, freshnessRules } from "../reader/freshness.ts";
import type { Reader, ReadOptions, ReadResult, ReadStatus } from "../reader/types.ts";
import { isObject, parseAnswer, type ServiceAnswer } from "./parse-answer.ts";
import type { HttpReaderOptions } from "./types.ts";

/** Ids that the service takes in one request. */
const maxIds = 500;

/** Creates a reader that asks Kindling's server. Same answers and same rules as over Redis: it never throws. */
export function createHttpReader<V extends Record<string, unknown>>(options: HttpReaderOptions<V>): Reader<V> {
  const { definitions, wait: strictWait = 1_000, now = Date.now } = options;
  const rules = freshnessRules(definitions, Number.POSITIVE_INFINITY);
  const send = createSend(options);

  const without = (status: ReadStatus, claims?: UserClaims): ReadResult<V> =>
    composeAnswer(definitions, rules, { status }, claims, now());

  const compose = (answer: unknown, elapsed: number, claims?: UserClaims): ReadResult<V> => {
    const parsed = parseAnswer(answer);
    if (parsed === undefined) return without("unavailable", claims);
    const unknown = parsed.source === "defaults" && parsed.status !== "deleted";
    if (!unknown || claims === undefined) return adopt(definitions, rules, parsed, elapsed);
    const { complete } = parsed;
    return { ...without(parsed.status, claims), ...(complete !== undefined && { complete }) };
  };

  const readMany = async (ids: readonly string[]): Promise<ReadResult<V>[]> => {
    const begun = performance.now();
    const body = await send("POST", "/v1/flags", 0, { ids });
    const users = isObject(body) && isObject(body.users) ? body.users : {};
    return ids.map((id) => compose(users[id], performance.now() - begun));
  };

  return countReads({
    definitions,

    async get(userId, { maxAge, wait, claims: given }: ReadOptions = {}) {
      const claims = given?.sub === userId ? given : undefined;
      // Frameworks turn `?id[]=…` into an array: what is not a user id has no record.
      if (!isUserId(userId)) return without("missing", claims);
      const patience = wait ?? (Number.isFinite(rules.strictest) ? strictWait : undefined);
      const query = new URLSearchParams();
      if (maxAge !== undefined && Number.isFinite(maxAge)) query.set("maxAge", toMs(maxAge));
      if (patience !== undefined) query.set("wait", toMs(Math.min(patience, maxWait)));
      const path = `/v1/users/${encodeURIComponent(userId)}/flags?${query}`;
      const begun = performance.now();
      const answer = compose(await send("GET", path, patience ?? 0), performance.now() - begun, claims);
      if (claims !== undefined && contradicts(definitions, answer, claims)) {
        void send("POST", `/v1/users/${encodeURIComponent(userId)}/refresh`, 0);
      }
      return answer;
    },

    async getMany(userIds) {
      const ids = [...new Set(userIds.filter(isUserId))];
      const parts = Array.from({ length: Math.ceil(ids.length / maxIds) }, (_, part) =>
        ids.slice(part * maxIds, (part + 1) * maxIds),
      );
      const results = (await Promise.all(parts.map(readMany))).flat();
      const byId = new Map(ids.map((id, index) => [id, results[index]]));
      return userIds.map((id) => {
        const result = byId.get(id);
        // A copy for each: changing one answer must not change another.
        return result === undefined ? without("missing") : structuredClone(result);
      });
    },

    close() {},
  });
}

/** The service's own limit, in milliseconds. */
const maxWait = 10_000;

function toMs(ms: number): string {
  return String(Math.max(0, Math.round(ms)));
}

/**
 * Takes over the service's answer. Its definitions can be older or newer than ours: a value that a flag cannot have is
 * replaced by the default, and our own deny rules apply to what the service did not know or did not deny.
 */
function adopt<V extends Record<string, unknown>>(
  definitions: Definitions<V>,
  { denials }: FreshnessRules,
  answer: ServiceAnswer,
  elapsed: number,
): ReadResult<V> {
  const { status, source, fetchedAt, complete } = answer;
  // The answer aged on its way.
  const age = answer.age === null ? null : answer.age + Math.round(elapsed);
  const values: Record<string, unknown> = copyDefaults(definitions);
  const isKnown = (name: string) =>
    Object.hasOwn(answer.flags, name) && definitions.flags[name]?.accepts(answer.flags[name]) === true;
  for (const name of Object.keys(values)) if (isKnown(name)) values[name] = answer.flags[name];
  const denied = new Set(answer.denied.filter((name) => Object.hasOwn(values, name)));
  for (const { name, maxAge, value } of denials) {
    const tooOld = source === "record" && age !== null && age > maxAge;
    if (!denied.has(name) && isKnown(name) && source !== "defaults" && !tooOld) continue;
    values[name] = value;
    denied.add(name);
  }
  // Sound: every name has a default, and each value was accepted by its definition.
  const flags = values as V;
  return { flags, status, source, fetchedAt, age, denied: [...denied], ...(complete !== undefined && { complete }) };
}

/** Returns whether the claims are newer than the record and disagree with it about a flag they determine. */
function contradicts<V extends Record<string, unknown>>(
  definitions: Definitions<V>,
  { flags, status, fetchedAt, denied }: ReadResult<V>,
  claims: UserClaims,
): boolean {
  if (status !== "present" || fetchedAt === null || issuedAt(claims) <= fetchedAt) return false;
  return Object.entries(deriveFromClaims(definitions, claims)).some(
    ([name, value]) => !denied.includes(name) && JSON.stringify(value) !== JSON.stringify(flags[name]),
  );
}

/** Sends a request and resolves to the parsed body; `undefined` if there is none to use. Never rejects. */
type Send = (method: "GET" | "POST", path: string, wait: number, body?: object) => Promise<unknown>;

function createSend(options: HttpReaderOptions<Record<string, unknown>>): Send {
  const { url, token, timeoutMs = 1_000, onError, fetch = globalThis.fetch } = options;
  const base = url.replace(/\/+$/, "");
  const fail = (
    code: "service_unauthorized" | "service_unavailable" | "too_many_requests",
    why: string,
    cause?: unknown,
  ) => onError?.(new KindlingError(code, `Flags could not be read over HTTP: ${why}`, { cause }));

  return async (method, path, wait, body) => {
    try {
      const bearer = typeof token === "string" ? token : await token();
      const response = await fetch(`${base}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${bearer}`,
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        redirect: "error",
        signal: AbortSignal.timeout(timeoutMs + wait),
      });
      if (response.ok) return await response.json();
      await response.body?.cancel();
      const { status } = response;
      if (status === 401 || status === 403) {
        fail(
          "service_unauthorized",
          `the service refused the token with status ${status}: check the token and its scope.`,
        );
      } else if (status === 429) fail("too_many_requests", "more requests than the service accepts: try again later.");
      else fail("service_unavailable", `the service answered with status ${status}.`);
    } catch (cause) {
      // Without the cause's message, which can quote a header and with it the token.
      fail(
        "service_unavailable",
        `${hostOf(base)} did not answer within ${timeoutMs + wait} ms or cannot be reached.`,
        nameOf(cause),
      );
    }
    return undefined;
  };
}

function hostOf(base: string): string {
  return URL.canParse(base) ? new URL(base).host : "the given URL";
}

function nameOf(cause: unknown): unknown {
  return cause instanceof Error ? cause.name : undefined;
}
