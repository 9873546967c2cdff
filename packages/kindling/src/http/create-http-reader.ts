import { copy, copyDefaults } from "../definitions/accept-values.ts";
import { claimsOf, deriveFromClaims, issuedAt, organizationOf, type UserClaims } from "../definitions/claims.ts";
import type { Definitions } from "../definitions/define-flags.ts";
import { KindlingError } from "../errors.ts";
import { isUserId } from "../profile.ts";
import {
  type AnswerRules,
  answerRules,
  composeAnswer,
  currentOrganization,
  type Request,
} from "../reader/compose-answer.ts";
import { createReadCounts } from "../reader/count-reads.ts";
import type { Reader, ReadOptions, ReadResult, ReadStatus } from "../reader/types.ts";
import { fetchWithoutRedirects, RedirectRefused } from "./fetch-without-redirects.ts";
import { isObject, parseAnswer, type ServiceAnswer } from "./parse-answer.ts";
import { timeLimit, tokenOf } from "./time-limit.ts";
import type { HttpReaderOptions } from "./types.ts";

/** Ids that the service takes in one request. */
const maxIds = 500;

/** Creates a reader that asks Kindling's server. Same answers and same rules as over Redis: it never throws. */
export function createHttpReader<V extends Record<string, unknown>>(options: HttpReaderOptions<V>): Reader<V> {
  const { definitions, wait: strictWait = 1_000, now = Date.now } = options;
  const rules = answerRules(definitions, Number.POSITIVE_INFINITY);
  const send = createSend(options);
  const { count, stats } = createReadCounts();

  const without = (status: ReadStatus, request: Request): ReadResult<V> =>
    composeAnswer(definitions, rules, { status }, request, now());

  const compose = (answer: unknown, elapsed: number, named: Request, isOpen = false): ReadResult<V> => {
    const parsed = parseAnswer(answer);
    if (parsed === undefined) return without("unavailable", named);
    // A user's token names the organization itself.
    const request = isOpen ? { ...named, organization: parsed.organization ?? undefined } : named;
    // What the service took from a token, or does not know, our own claims tell too, and how old they are.
    const unknown = parsed.source !== "record" && parsed.status !== "deleted";
    if (!unknown || request.claims === undefined) return adopt(definitions, rules, parsed, request, elapsed);
    const { complete } = parsed;
    return { ...without(parsed.status, request), ...(complete !== undefined && { complete }) };
  };

  const readMany = async (ids: readonly string[], request: Request): Promise<ReadResult<V>[]> => {
    const begun = performance.now();
    const body = await send("POST", "/v1/flags", 0, { ids, ...organizationIn(request) });
    const users = isObject(body) && isObject(body.users) ? body.users : {};
    return ids.map((id) => compose(users[id], performance.now() - begun, request));
  };

  // A code that the service would refuse cannot be the user's organization either. The answer's is the one asked for.
  const organizationIn = ({ organization }: Request) =>
    rules.perOrganization && organization !== undefined && /^org_[0-9A-Za-z]{1,64}$/.test(organization)
      ? { organization }
      : {};

  return {
    definitions,

    async get(userId, options) {
      const { maxAge, wait, claims: given, organization }: ReadOptions = options ?? {};
      const claims = claimsOf(userId, given);
      const request = { claims, organization: currentOrganization(organization, claims) };
      // Frameworks turn `?id[]=…` into an array: what is not a user id has no record.
      if (!isUserId(userId)) return count(without("missing", request));
      const patience = wait ?? (Number.isFinite(rules.strictest) ? strictWait : undefined);
      const ms = atMost(maxWait, patience ?? 0);
      const query = new URLSearchParams(organizationIn(request));
      if (maxAge !== undefined && Number.isFinite(maxAge)) query.set("maxAge", String(atMost(longestAge, maxAge)));
      if (patience !== undefined) query.set("wait", String(ms));
      const path = `/v1/users/${encodeURIComponent(userId)}/flags?${query}`;
      const begun = performance.now();
      const body = await send("GET", path, ms);
      const isOpen = organization === undefined && claims === undefined;
      const answer = count(compose(body, performance.now() - begun, request, isOpen));
      if (claims !== undefined && contradicts(definitions, answer, claims)) {
        void send("POST", `/v1/users/${encodeURIComponent(userId)}/refresh`, 0);
      }
      return answer;
    },

    // Nothing is kept in memory, so there is nothing to answer from or to drop.
    peek: () => undefined,
    observe() {},

    async getMany(userIds, { organization } = {}) {
      const request = { claims: undefined, organization: currentOrganization(organization, undefined) };
      const ids = [...new Set(userIds.filter(isUserId))];
      const parts = Array.from({ length: Math.ceil(ids.length / maxIds) }, (_, part) =>
        ids.slice(part * maxIds, (part + 1) * maxIds),
      );
      const results = (await Promise.all(parts.map((part) => readMany(part, request)))).flat();
      const byId = new Map(ids.map((id, index) => [id, results[index]]));
      return userIds.map((id) => {
        const result = byId.get(id);
        // A copy for each: changing one answer must not change another.
        return count(result === undefined ? without("missing", request) : structuredClone(result));
      });
    },

    stats,

    close() {},
  };
}

/** The service's own limits, in milliseconds. */
const maxWait = 10_000;
const longestAge = 10 ** 12 - 1;

function atMost(limit: number, ms: number): number {
  return Math.min(limit, Math.max(0, Math.round(ms)) || 0);
}

/**
 * Takes over the service's answer. Its definitions can be older or newer than ours: a value that a flag cannot have is
 * replaced by the default, and our own deny rules apply to what the service did not know or did not deny.
 */
function adopt<V extends Record<string, unknown>>(
  definitions: Definitions<V>,
  { denials, perOrganization }: AnswerRules,
  answer: ServiceAnswer,
  { organization }: Request,
  elapsed: number,
): ReadResult<V> {
  const { status, source, fetchedAt, complete } = answer;
  // The answer aged on its way.
  const age = answer.age === null ? null : answer.age + Math.round(elapsed);
  const values: Record<string, unknown> = copyDefaults(definitions);
  // A service of another release, or a token of another organization: its values are not those asked for.
  const isAsked = perOrganization && (answer.organization ?? undefined) === organization;
  const isKnown = (name: string) =>
    Object.hasOwn(answer.flags, name) &&
    definitions.flags[name]?.accepts(answer.flags[name]) === true &&
    (definitions.flags[name].in === undefined || isAsked);
  for (const name of Object.keys(values)) if (isKnown(name)) values[name] = answer.flags[name];
  const denied = new Set(answer.denied.filter((name) => Object.hasOwn(values, name)));
  for (const { name, maxAge, value } of denials) {
    // Of values from a token, the service alone knows the age: one that did not deny may have had older definitions.
    const isYoung = source === "record" && age !== null && age <= maxAge;
    if (!denied.has(name) && isKnown(name) && isYoung) continue;
    values[name] = copy(value);
    denied.add(name);
  }
  // Sound: every name has a default, and each value was accepted by its definition.
  const flags = values as V;
  return {
    flags,
    status,
    source,
    fetchedAt,
    age,
    denied: [...denied],
    ...(perOrganization && { organization: organization ?? null }),
    ...(complete !== undefined && { complete }),
  };
}

/** Returns whether the claims are newer than the record and disagree with it about a flag they determine. */
function contradicts<V extends Record<string, unknown>>(
  definitions: Definitions<V>,
  { flags, status, fetchedAt, denied, organization }: ReadResult<V>,
  claims: UserClaims,
): boolean {
  if (status !== "present" || fetchedAt === null || issuedAt(claims) <= fetchedAt) return false;
  // The answer is for another organization than the token's: the flags of neither can be compared.
  if (organization !== undefined && (organization ?? undefined) !== organizationOf(claims)) return false;
  return Object.entries(deriveFromClaims(definitions, claims, organizationOf(claims))).some(
    ([name, value]) => !denied.includes(name) && JSON.stringify(value) !== JSON.stringify(flags[name]),
  );
}

/** Sends a request and resolves to the parsed body; `undefined` if there is none to use. Never rejects. */
type Send = (method: "GET" | "POST", path: string, wait: number, body?: object) => Promise<unknown>;

function createSend(options: HttpReaderOptions<Record<string, unknown>>): Send {
  const { url, token, timeoutMs = 1_000, onError, fetch = globalThis.fetch } = options;
  const base = url.replace(/\/+$/, "");
  const report = async (error: KindlingError) => onError?.(error);
  const fail = (
    code: "service_unauthorized" | "service_unavailable" | "too_many_requests",
    why: string,
    cause?: unknown,
  ) => {
    const error = new KindlingError(code, `Flags could not be read over HTTP: ${why}`, { cause });
    // A read never fails, whatever the app's own function does.
    report(error).catch(() => undefined);
  };

  return async (method, path, wait, body) => {
    try {
      const signal = timeLimit(timeoutMs + wait);
      const bearer = await tokenOf(token, signal);
      const response = await fetchWithoutRedirects(fetch, `${base}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${bearer}`,
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        signal,
      });
      if (response.ok) return await response.json();
      await response.body?.cancel();
      const { status } = response;
      if (status === 401 || status === 403) {
        fail(
          "service_unauthorized",
          `the service refused the token with status ${status}: check the token and its scope.`,
        );
      } else if (status === 404) {
        fail("service_unavailable", "the service has no such route: set its KINDLING_API_TOKENS, and check the URL.");
      } else if (status === 429) fail("too_many_requests", "more requests than the service accepts: try again later.");
      else fail("service_unavailable", `the service answered with status ${status}.`);
    } catch (cause) {
      if (cause instanceof RedirectRefused) {
        fail("service_unavailable", `the service ${cause.message}.`);
        return undefined;
      }
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
