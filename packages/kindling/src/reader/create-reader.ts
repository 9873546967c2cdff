import { claimsOf, issuedAt, type UserClaims } from "../definitions/claims.ts";
import { createPublicKeys } from "../keys.ts";
import { isUserId } from "../profile.ts";
import { accountTime, type FlagsRecord, fetchAge } from "../record.ts";
import { createCache } from "./cache.ts";
import { adaptCluster, isReaderCluster } from "./cluster.ts";
import { createCommits } from "./commits.ts";
import {
  answerRules,
  composeAnswer,
  contradicts,
  currentOrganization,
  type Found,
  parseFound,
} from "./compose-answer.ts";
import { createReadCounts } from "./count-reads.ts";
import type { Entry } from "./memory.ts";
import { nothing, type ReaderRedis, within } from "./redis.ts";
import { createRequestRefresh } from "./request-refresh.ts";
import type { Reader, ReaderOptions, ReadOptions, ReadResult } from "./types.ts";
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
    redis: client,
    definitions,
    prefix = "kindling",
    timeoutMs = 250,
    softAge = 5 * 60_000,
    wait: strictWait = 1_000,
    now = Date.now,
  } = options;
  const redis = isReaderCluster(client) ? adaptCluster(client) : client;
  const keys = createPublicKeys(prefix);
  const rules = answerRules(definitions, softAge);
  /** Age of the oldest fetch that satisfies a request in the background. */
  const oldest = Math.min(rules.soft, rules.limit);
  const { perOrganization } = rules;
  const commits = createCommits(redis, keys);
  const { count, stats } = createReadCounts();
  const requestRefresh = createRequestRefresh({ redis, keys, timeoutMs, now });

  // One object with all that a read from memory needs: following pointers costs more than the rest of it.
  const createEntry = (record: FlagsRecord, readAt: number): Held<V> => {
    const { ticket, fetchedAt, status } = record;
    const composed = compose(record, undefined);
    return {
      ticket,
      readAt,
      used: false,
      fetchedAt,
      accountAt: accountTime(record),
      status,
      ...composed,
      record: perOrganization ? record : undefined,
    };
  };
  const compose = (record: FlagsRecord, organization: string | undefined) => {
    const request = { claims: undefined, organization };
    const { flags, denied } = composeAnswer(definitions, rules, { status: record.status, record }, request, now());
    return { organization, flags, denied, copy: copierOf(flags) };
  };
  const cache = options.cache && createCache(redis, keys, options.cache, createEntry);

  // In a batch, what cannot have a record takes the place of nobody.
  const keyOf = (userId: string) => keys.flags(canHaveRecord(userId) ? userId : "");
  const look = async (userId: string, ms: number): Promise<Found> => {
    if (!canHaveRecord(userId)) return { status: "missing" };
    const end = cache?.begin(userId);
    const text = await within(ms, () => redis.get(keys.flags(userId)).catch(corruptIfOtherType));
    if (text === nothing) {
      end?.(undefined);
      return { status: "unavailable" };
    }
    const found = parseFound(text);
    end?.(found.record ?? null, text?.length);
    return found;
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
      soft: record !== undefined && isDueForRefresh(record),
    };
  };

  /** Returns whether a read requests a refresh in the background. */
  const isDueForRefresh = (record: FlagsRecord) =>
    fetchAge(record.fetchedAt, now()) > rules.limit || fetchAge(accountTime(record), now()) > rules.soft;

  // The fast path of nearly every read.
  const isYoung = ({ record }: Found, maxAge: number, claims: UserClaims | undefined) =>
    record !== undefined &&
    claims === undefined &&
    fetchAge(record.fetchedAt, now()) <= maxAge &&
    !isDueForRefresh(record);

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
    // What is not a user id gets no request.
    if (!isUserId(userId)) return found;
    const { since, old, strict, soft } = demandOf(found, maxAge, claims);
    const patience = wait ?? (strict ? strictWait : 0);
    if (old && patience > 0) return waitForFresh(userId, found, since, patience, spare);
    if (old || soft) void requestRefresh([userId], Math.max(since, now() - oldest), "later");
    return found;
  };

  const isComplete = async (ms: number) => {
    const marker = await within(ms, () => redis.get(keys.complete));
    return marker !== nothing && marker !== null;
  };

  /** Returns the answer to a read that memory alone can answer. Derives the values once per record and organization. */
  const peek = (
    userId: string,
    { maxAge = Number.POSITIVE_INFINITY, claims: given, organization, atLeast = 0 }: ReadOptions,
  ): ReadResult<V> | undefined => {
    if (cache === undefined) return undefined;
    const instant = performance.now();
    const entry = cache.recall(userId, instant);
    if (entry === undefined || entry.status !== "present" || entry.ticket < atLeast) return undefined;
    const claims = claimsOf(userId, given);
    const time = options.now === undefined ? cache.epochTime(instant) : now();
    // Everything else can cause a refresh request.
    const age = fetchAge(entry.fetchedAt, time);
    if (age > Math.min(maxAge, rules.limit) || issuedAt(claims) > entry.fetchedAt) return undefined;
    if (fetchAge(entry.accountAt, time) > rules.soft) return undefined;
    const current = perOrganization ? currentOrganization(organization, claims) : undefined;
    if (entry.record !== undefined && entry.organization !== current) {
      Object.assign(entry, compose(entry.record, current));
    }
    // Written out: a spread costs more than all the rest of a read from memory.
    const result: ReadResult<V> = {
      flags: entry.copy(entry.flags),
      status: "present",
      fetchedAt: entry.fetchedAt,
      age: Math.floor(age),
      source: "record",
      denied: entry.denied,
      cached: true,
    };
    if (perOrganization) result.organization = current ?? null;
    return count(result);
  };

  const lookUp = async (
    userId: string,
    { maxAge = Number.POSITIVE_INFINITY, wait, claims: given, organization, atLeast = 0 }: ReadOptions,
  ): Promise<ReadResult<V>> => {
    const claims = claimsOf(userId, given);
    const request = { claims, organization: currentOrganization(organization, claims) };
    const began = performance.now();
    const looking = look(userId, timeoutMs);
    // After the lookup began, so that a replica's older answer is not kept.
    if (atLeast > 0) cache?.observe(userId, atLeast);
    const looked = await looking;
    // All commands together have `timeoutMs`, beside the wait for a refresh.
    const spare = began + timeoutMs - performance.now();
    const complete = looked.status === "missing" && isComplete(spare);
    const found = isYoung(looked, maxAge, claims)
      ? looked
      : await refreshed(userId, looked, spare, maxAge, wait, claims);
    const answer = count(composeAnswer(definitions, rules, found, request, now()));
    return found.status === "missing" ? { ...answer, complete: await complete } : answer;
  };

  return {
    definitions,

    get(userId, options) {
      const remembered = peek(userId, options ?? {});
      return remembered === undefined ? lookUp(userId, options ?? {}) : Promise.resolve(remembered);
    },

    peek: (userId, options) => peek(userId, options ?? {}),

    async getMany(userIds, { organization } = {}) {
      if (userIds.length === 0) return [];
      const ends = userIds.map((userId) => cache?.begin(userId));
      const texts = await readAll(redis, userIds.map(keyOf), timeoutMs);
      const all = userIds.map((_, index): Found => {
        const text = texts[index] ?? null;
        const found: Found = text === nothing ? { status: "unavailable" } : parseFound(text);
        if (text === nothing) ends[index]?.(undefined);
        else ends[index]?.(found.record ?? null, text?.length);
        return found;
      });
      const since = Math.max(0, now() - oldest);
      const isOld = ({ status, record }: Found | undefined = { status: "unavailable" }) =>
        status === "present"
          ? record === undefined || isDueForRefresh(record)
          : status === "missing" || status === "invalid";
      const old = userIds.filter((_, index) => isOld(all[index]));
      void requestRefresh(old, since, "later");
      const request = { claims: undefined, organization: currentOrganization(organization, undefined) };
      return all.map((found) => count(composeAnswer(definitions, rules, found, request, now())));
    },

    observe(userId, ticket) {
      cache?.observe(userId, ticket);
    },

    stats,

    close() {
      commits?.close();
      cache?.close();
    },
  };
}

/** A record in memory, as the answer that was derived from it last. */
interface Held<V> extends Entry, Pick<ReadResult<V>, "flags" | "denied"> {
  readonly fetchedAt: number;
  readonly accountAt: number;
  readonly status: FlagsRecord["status"];
  /** Kept only if the answer depends on the organization. */
  readonly record: FlagsRecord | undefined;
  organization: string | undefined;
  copy: (flags: V) => V;
}

/** No id is longer. */
const longestUserId = 67;

/** Frameworks turn `?id[]=…` into an array, and a body can hold any value, of any length: Redis is not asked for these. */
function canHaveRecord(userId: unknown): userId is string {
  return typeof userId === "string" && userId.length <= longestUserId;
}

/** Reads all keys at the same time. Those of a master that is down are `nothing`. */
async function readAll(redis: ReaderRedis, keys: string[], ms: number): Promise<(string | null | typeof nothing)[]> {
  if (redis.mget === undefined) {
    return Promise.all(keys.map((key) => within(ms, () => redis.get(key).catch(corruptIfOtherType))));
  }
  const texts = await within(ms, async () => redis.mget?.(keys) ?? []);
  return texts === nothing ? keys.map(() => nothing) : texts;
}

/** A key of another type is no record either: a refresh repairs both. */
function corruptIfOtherType(error: unknown): string {
  if (error instanceof Error && error.message.startsWith("WRONGTYPE")) return "";
  throw error;
}

/** Returns the cheapest copy that shares no object: a change to one answer must not affect the next. */
function copierOf<V extends Record<string, unknown>>(flags: V): (flags: V) => V {
  const isFlat = Object.values(flags).every((value) => typeof value !== "object" || value === null);
  return isFlat ? copyFlat : structuredClone;
}

function copyFlat<V extends object>(flags: V): V {
  return { ...flags };
}
