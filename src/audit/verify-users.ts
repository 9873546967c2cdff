import { setMaxListeners } from "node:events";
import type { Redis } from "ioredis";
import { estimateTotal } from "../kinde/estimate-total.ts";
import { type ListingPage, listEveryone } from "../kinde/list-users.ts";
import type { ManagementApi } from "../kinde/management-api.ts";
import { type Patience, patiently } from "../kinde/patiently.ts";
import type { ReportProgress } from "../progress.ts";
import type { Keys } from "../redis/keys.ts";
import type { Records } from "../redis/records.ts";
import { sampleUsers } from "../redis/sample-users.ts";
import { type AuditState, beginAudit, noteVerdict } from "./audit.ts";
import { type AuditVerdict, verdictOn } from "./audit-user.ts";

/** What verifying found; `complete` is false where the signal stopped it. */
export interface Verified extends Omit<AuditState, "rest" | "startedAt"> {
  complete: boolean;
}

/** What verifying needs. */
export interface VerifyOptions {
  store: { redis: Redis; keys: Keys; records: Pick<Records, "scanIds"> };
  api: ManagementApi;
  audit: (userId: string) => Promise<AuditVerdict>;
  /** So many records at random, or everybody: of Kinde's users and of our records. */
  scope: { sample: number } | "all";
  /** Given each user who differs, as soon as found. */
  onDrift: (userId: string) => Promise<void>;
  onProgress: ReportProgress;
  signal: AbortSignal;
}

/** Users looked at side by side. */
const atOnce = 8;
const retries = 3;
/** So many users in a row of whom Kinde gives no answer are no trouble of theirs. */
const mostInARow = 20;

/**
 * Audits users one after the other, and adds up what it finds. Of whom Kinde gives no answer is counted, unless that is
 * everybody.
 *
 * @throws {KindeError}
 */
export async function verifyUsers(options: VerifyOptions): Promise<Verified> {
  const { audit, scope, onDrift, onProgress, signal } = options;
  // Every call under way listens to it: many at once are no leak.
  setMaxListeners(0, signal);
  const patience: Patience = { signal, retries, onWait: (ms) => onProgress({ type: "waiting", for: "Kinde", ms }) };
  let state = beginAudit([], 0);
  let total: number | undefined;
  const users = scope === "all" ? everybody : sample;
  const ids = users(options, patience, (found) => {
    total = found;
  });
  let failed = false;
  let inARow = 0;
  let lastFailure: unknown;
  const look = async (userId: string) => {
    try {
      const verdict = await patiently(() => audit(userId), patience);
      inARow = 0;
      return verdict;
    } catch (error) {
      const verdict = verdictOn(error);
      inARow += 1;
      if (inARow === mostInARow) throw error;
      lastFailure = error;
      return verdict;
    }
  };
  const work = async () => {
    for await (const userId of ids) {
      if (failed) return;
      const verdict = await look(userId);
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
    // All of them must have ended before the caller closes what they use.
    const ends = await Promise.allSettled(Array.from({ length: atOnce }, () => work().catch(fail)));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    if (state.failed > 0 && state.checked === 0) throw lastFailure;
  } catch (error) {
    if (!signal.aborted) throw error;
    complete = false;
  }
  const { rest: _none, startedAt: _never, ...figures } = state;
  return { ...figures, complete };
}

type Users = (options: VerifyOptions, patience: Patience, expect: (total: number) => void) => AsyncGenerator<string>;

const sample: Users = async function* ({ store, api, scope, signal }, patience, expect) {
  const size = scope === "all" ? 0 : scope.sample;
  let ids = await sampleUsers(store.redis, store.keys, size);
  if (ids.length === 0) {
    // A store that holds nobody is right only if Kinde has nobody either.
    const listing = listEveryone(api);
    const page = await patiently(() => listing(null, { priority: "bulk", signal }), patience);
    ids = page.userIds.slice(0, size);
  }
  expect(ids.length);
  yield* ids;
};

const everybody: Users = async function* ({ store, api, signal }, patience, expect) {
  const listed = new Set<string>();
  const listing = listEveryone(api);
  let cursor: string | null = null;
  do {
    const from: string | null = cursor;
    const page: ListingPage = await patiently(() => listing(from, { priority: "bulk", signal }), patience);
    const fresh = page.userIds.filter((id) => !listed.has(id));
    for (const id of fresh) listed.add(id);
    cursor = page.next;
    const about = cursor === null ? listed.size : estimateTotal(page.userIds, listed.size);
    if (about !== undefined) expect(about);
    yield* fresh;
  } while (cursor !== null);
  // Whom Kinde did not list has no record, or should have none.
  let place = "0";
  do {
    const page = await store.records.scanIds(place, 1_000);
    for (const id of page.userIds) {
      if (listed.has(id)) continue;
      listed.add(id);
      yield id;
    }
    place = page.cursor;
  } while (place !== "0");
};
