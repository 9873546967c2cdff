import { issuedAt, type UserClaims } from "../definitions/claims.ts";
import { createPublicKeys } from "../keys.ts";
import { isUserId } from "../profile.ts";
import { fetchAge } from "../record.ts";
import { createCommits } from "./commits.ts";
import { composeAnswer, contradicts, type Found, parseFound } from "./compose-answer.ts";
import { countReads } from "./count-reads.ts";
import { freshnessRules } from "./freshness.ts";
import { nothing, within } from "./redis.ts";
import { createRequestRefresh } from "./request-refresh.ts";
import type { Reader, ReaderOptions } from "./types.ts";
import { createWaitForFresh } from "./wait-for-fresh.ts";

/**
 * Creates a reader, which answers typed flags from Redis. Create one per process and share it.
 *
 * @param options See {@link ReaderOptions} for each option and its default
 *
 * @example
 * ```ts
 * import { Redis } from "ioredis";
 * import { createReader } from "kindling";
 * import definitions from "./kindling.flags.js";
 *
 * const reader = createReader({ redis: new Redis("redis://127.0.0.1:6379"), definitions });
 *
 * const { flags, status } = await reader.get("kp_0123456789abcdef");
 * if (!flags.onboarded) console.log("Show the tour", status);
 * ```
 */
export function createReader<V extends Record<string, unknown>>(options: ReaderOptions<V>): Reader<V> {
  const {
    redis,
    definitions,
    prefix = "kindling",
    timeoutMs = 250,
    softAge = 5 * 60_000,
    wait: strictWait = 1_000,
    now = Date.now,
  } = options;
  const keys = createPublicKeys(prefix);
  const rules = freshnessRules(definitions, softAge);
  const commits = createCommits(redis, keys);
  const requestRefresh = createRequestRefresh({ redis, keys, timeoutMs, now });

  const look = async (userId: string, ms: number): Promise<Found> => {
    const text = await within(ms, () => redis.get(keys.flags(userId)));
    return text === nothing ? { status: "unavailable" } : parseFound(text);
  };
  const waitForFresh = createWaitForFresh({ look, requestRefresh, commits });

  /** Returns the oldest acceptable fetch, and by which limits the record is too old. */
  const demandOf = ({ record }: Found, maxAge: number, claims: UserClaims | undefined) => {
    const contradicted = record !== undefined && claims !== undefined && contradicts(definitions, record, claims);
    const limit = Math.min(maxAge, rules.strictest);
    const since = Math.max(0, now() - limit, contradicted ? issuedAt(claims) : 0);
    const age = record === undefined ? Number.POSITIVE_INFINITY : fetchAge(record.fetchedAt, now());
    return {
      since,
      old: record === undefined || record.fetchedAt < since || age > limit,
      strict: rules.strictest !== Number.POSITIVE_INFINITY && age > rules.strictest,
      soft: age > rules.soft,
    };
  };

  // The fast path of nearly every read.
  const isYoung = ({ record }: Found, maxAge: number, claims: UserClaims | undefined) =>
    record !== undefined && claims === undefined && fetchAge(record.fetchedAt, now()) <= Math.min(maxAge, rules.soft);

  const refreshed = async (
    userId: string,
    found: Found,
    spare: number,
    maxAge: number,
    wait?: number,
    claims?: UserClaims,
  ) => {
    // A Redis that does not answer records no request, and a deleted user stays deleted.
    if (found.status === "unavailable" || found.status === "deleted") return found;
    // Frameworks turn `?id[]=…` into an array: what is not a user id has no record and gets no request.
    if (!isUserId(userId)) return found;
    const { since, old, strict, soft } = demandOf(found, maxAge, claims);
    const patience = wait ?? (strict ? strictWait : 0);
    if (old && patience > 0) return waitForFresh(userId, found, since, patience, spare);
    if (old || soft) void requestRefresh([userId], Math.max(since, now() - rules.soft), "later");
    return found;
  };

  const isComplete = async (ms: number) => {
    const marker = await within(ms, () => redis.get(keys.complete));
    return marker !== nothing && marker !== null;
  };

  return countReads({
    definitions,

    async get(userId, { maxAge = Number.POSITIVE_INFINITY, wait, claims: given } = {}) {
      const claims = given?.sub === userId ? given : undefined;
      const began = performance.now();
      const looked = await look(userId, timeoutMs);
      // All commands together have `timeoutMs`, beside the wait for a refresh.
      const spare = began + timeoutMs - performance.now();
      const complete = looked.status === "missing" && isComplete(spare);
      const found = isYoung(looked, maxAge, claims)
        ? looked
        : await refreshed(userId, looked, spare, maxAge, wait, claims);
      const answer = composeAnswer(definitions, rules, found, claims, now());
      return found.status === "missing" ? { ...answer, complete: await complete } : answer;
    },

    async getMany(userIds) {
      if (userIds.length === 0) return [];
      const texts = await within(timeoutMs, () => redis.mget(userIds.map(keys.flags)));
      const all = userIds.map(
        (_, index): Found => (texts === nothing ? { status: "unavailable" } : parseFound(texts[index] ?? null)),
      );
      const since = Math.max(0, now() - rules.soft);
      const isOld = ({ status, record }: Found | undefined = { status: "unavailable" }) =>
        status === "present"
          ? fetchAge(record?.fetchedAt ?? 0, now()) > rules.soft
          : status === "missing" || status === "invalid";
      const old = userIds.filter((_, index) => isOld(all[index]));
      void requestRefresh(old, since, "later");
      return all.map((found) => composeAnswer(definitions, rules, found, undefined, now()));
    },

    close() {
      commits?.close();
    },
  });
}
