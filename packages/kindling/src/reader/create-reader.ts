import type { UserClaims } from "../definitions/claims.ts";
import { createPublicKeys } from "../keys.ts";
import { createCommits } from "./commits.ts";
import { composeAnswer, contradicts, type Found, issuedAt, parseFound } from "./compose-answer.ts";
import { freshnessOf } from "./freshness.ts";
import { nothing, within } from "./redis.ts";
import { createRequestRefresh } from "./request-refresh.ts";
import type { Reader, ReaderOptions } from "./types.ts";
import { createWaitForFresh } from "./wait-for-fresh.ts";

const usualSoftAge = 5 * 60_000;

/** A reader for app servers. */
export function createReader<V extends Record<string, unknown>>(options: ReaderOptions<V>): Reader<V> {
  const {
    redis,
    definitions: flags,
    prefix = "kindling",
    timeoutMs = 250,
    softAge = usualSoftAge,
    now = Date.now,
  } = options;
  const keys = createPublicKeys(prefix);
  const freshness = freshnessOf(flags, softAge);
  const commits = createCommits(redis, keys);
  const ask = createRequestRefresh({ redis, keys, timeoutMs, now });

  const look = (userId: string): Promise<Found> =>
    within(timeoutMs, () => redis.get(keys.flags(userId))).then((text) =>
      text === nothing ? { status: "unavailable" } : parseFound(text),
    );
  const waitForFresh = createWaitForFresh({ look, ask, commits });

  /** The oldest fetch that will do, and whether this one has to be waited for. */
  const demand = ({ record }: Found, maxAge: number, claims: UserClaims | undefined) => {
    const contradicted = record !== undefined && claims !== undefined && contradicts(flags, record, claims);
    const since = Math.max(0, now() - Math.min(maxAge, freshness.strictest), contradicted ? issuedAt(claims) : 0);
    const age = record === undefined ? Number.POSITIVE_INFINITY : now() - record.fetchedAt;
    return {
      since,
      old: record === undefined || record.fetchedAt < since,
      strict: freshness.strictest !== Number.POSITIVE_INFINITY && age > freshness.strictest,
      soft: age > freshness.soft,
    };
  };

  // Nearly every lookup: nothing more is to be thought of.
  const isYoung = ({ record }: Found, maxAge: number, claims: UserClaims | undefined) =>
    record !== undefined && claims === undefined && now() - record.fetchedAt <= Math.min(maxAge, freshness.soft);

  const refreshed = async (userId: string, found: Found, maxAge: number, wait?: number, claims?: UserClaims) => {
    // Nothing can be asked of a Redis that does not answer, and a deleted user stays deleted.
    if (found.status === "unavailable" || found.status === "deleted") return found;
    const { since, old, strict, soft } = demand(found, maxAge, claims);
    const patience = wait ?? (strict ? (options.wait ?? 1000) : 0);
    if (old && patience > 0) return waitForFresh(userId, found, since, patience);
    if (old || soft) void ask([userId], Math.max(since, now() - freshness.soft), "later");
    return found;
  };

  /** Whether the store has been filled: what a missing record means depends on it. */
  const isComplete = async () => {
    const marker = await within(timeoutMs, () => redis.get(keys.complete));
    return marker !== nothing && marker !== null;
  };

  return {
    async get(userId, { maxAge = Number.POSITIVE_INFINITY, wait, claims: given } = {}) {
      const claims = given?.sub === userId ? given : undefined;
      const looked = await look(userId);
      const found = isYoung(looked, maxAge, claims) ? looked : await refreshed(userId, looked, maxAge, wait, claims);
      const answer = composeAnswer(flags, freshness, found, claims, now());
      return found.status === "missing" ? { ...answer, complete: await isComplete() } : answer;
    },

    async getMany(userIds) {
      if (userIds.length === 0) return [];
      const texts = await within(timeoutMs, () => redis.mget(userIds.map(keys.flags)));
      const all = userIds.map(
        (_, index): Found => (texts === nothing ? { status: "unavailable" } : parseFound(texts[index] ?? null)),
      );
      const since = Math.max(0, now() - freshness.soft);
      const isOld = ({ status, record }: Found | undefined = { status: "unavailable" }) =>
        status === "present" ? (record?.fetchedAt ?? 0) < since : status === "missing" || status === "invalid";
      const old = userIds.filter((_, index) => isOld(all[index]));
      void ask(old, since, "later");
      return all.map((found) => composeAnswer(flags, freshness, found, undefined, now()));
    },

    close() {
      commits?.close();
    },
  };
}
