import { setMaxListeners } from "node:events";
import { estimateTotal } from "../kinde/ids.ts";
import { type ListingPage, listEveryone } from "../kinde/list-users.ts";
import type { ManagementApi } from "../kinde/management-api.ts";
import { follow, type Trail } from "../kinde/paging.ts";
import { type Patience, patiently } from "../kinde/patiently.ts";
import type { ReportProgress } from "../progress.ts";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { type Records, scanStart } from "../redis/records.ts";
import { sampleUsers } from "../redis/sample-users.ts";
import { type AuditState, beginAudit, noteVerdict } from "./audit.ts";
import { type AuditVerdict, verdictOn } from "./audit-user.ts";

/** Result of a verification. `complete` is false if the signal stopped it. */
export interface Verified extends Omit<AuditState, "rest" | "startedAt"> {
  complete: boolean;
}

/** Options for {@link verifyUsers}. */
export interface VerifyOptions {
  store: { publicRedis: RedisClient; keys: Keys; records: Pick<Records, "scanIds"> };
  api: ManagementApi;
  audit: (userId: string) => Promise<AuditVerdict>;
  /** A random sample of this many records, or all: every Kinde user and every record. */
  scope: { sample: number } | "all";
  /** Called with each user that differs. */
  onDrift: (userId: string) => Promise<void>;
  onProgress: ReportProgress;
  signal: AbortSignal;
}

/** Users checked at the same time. */
const concurrency = 8;
const retries = 3;
/** After this many failed users in a row, Kinde rather than a user is at fault. */
const maxFailuresInARow = 20;

/**
 * Audits users and counts the verdicts. Users that Kinde gives no answer about are counted as failed.
 *
 * @throws {KindeError} if Kinde refuses access, or answers for no user, or for none of the last 20
 */
export async function verifyUsers(options: VerifyOptions): Promise<Verified> {
  const { audit, scope, onDrift, onProgress, signal } = options;
  // Every running call adds a listener: the default limit would warn of a leak.
  setMaxListeners(0, signal);
  const patience: Patience = { signal, retries, onWait: (ms) => onProgress({ type: "waiting", for: "Kinde", ms }) };
  let state = beginAudit([], 0);
  let total: number | undefined;
  const listUsers = scope === "all" ? allUsers : sample;
  const ids = listUsers(options, patience, (expected) => {
    total = expected;
  });
  let failed = false;
  let failuresInARow = 0;
  let lastFailure: unknown;
  const check = async (userId: string) => {
    try {
      const verdict = await patiently(() => audit(userId), patience);
      failuresInARow = 0;
      return verdict;
    } catch (error) {
      const verdict = verdictOn(error);
      failuresInARow += 1;
      if (failuresInARow === maxFailuresInARow) throw error;
      lastFailure = error;
      return verdict;
    }
  };
  const work = async () => {
    for await (const userId of ids) {
      if (failed) return;
      const verdict = await check(userId);
      state = noteVerdict(state, userId, verdict);
      if (verdict.verdict === "drift") await onDrift(userId);
      const done = state.checked + state.failed;
      onProgress({ type: "advanced", done, total: total === undefined ? undefined : Math.max(total, done) });
    }
  };
  const fail = (error: unknown) => {
    failed = true;
    throw error;
  };
  let complete = true;
  try {
    // Wait for all: the caller closes the connections they use.
    const results = await Promise.allSettled(Array.from({ length: concurrency }, () => work().catch(fail)));
    for (const result of results) if (result.status === "rejected") throw result.reason;
    if (state.failed > 0 && state.checked === 0) throw lastFailure;
  } catch (error) {
    if (!signal.aborted) throw error;
    complete = false;
  }
  const { rest: _rest, startedAt: _startedAt, ...counts } = state;
  return { ...counts, complete };
}

type ListUsers = (
  options: VerifyOptions,
  patience: Patience,
  expect: (total: number) => void,
) => AsyncGenerator<string>;

const sample: ListUsers = async function* ({ store, api, scope, signal }, patience, expect) {
  const size = scope === "all" ? 0 : scope.sample;
  let ids = await sampleUsers(store.publicRedis, store.keys, size);
  if (ids.length === 0) {
    // An empty store is correct only if Kinde has no users either.
    const listing = listEveryone(api);
    const page = await patiently(() => listing(null, { priority: "bulk", signal }), patience);
    ids = page.userIds.slice(0, size);
  }
  expect(ids.length);
  yield* ids;
};

const allUsers: ListUsers = async function* ({ store, api, signal }, patience, expect) {
  const listed = new Set<string>();
  const listing = listEveryone(api);
  let cursor: string | null = null;
  let trail: Trail | undefined;
  do {
    const from: string | null = cursor;
    const page: ListingPage = await patiently(() => listing(from, { priority: "bulk", signal }), patience);
    const fresh = page.userIds.filter((id) => !listed.has(id));
    for (const id of fresh) listed.add(id);
    cursor = page.next;
    if (cursor !== null) trail = follow(trail, cursor, { route: "GET /api/v1/users" });
    const estimate = cursor === null ? listed.size : estimateTotal(page.userIds, listed.size);
    if (estimate !== undefined) expect(estimate);
    yield* fresh;
  } while (cursor !== null);
  // A record of a user that Kinde did not list is drift, unless it is a tombstone.
  let place = scanStart;
  do {
    const page = await store.records.scanIds(place, 1_000);
    for (const id of page.userIds) {
      if (listed.has(id)) continue;
      listed.add(id);
      yield id;
    }
    place = page;
  } while (place.cursor !== scanStart.cursor);
};
