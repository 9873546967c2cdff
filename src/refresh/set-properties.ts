import { setTimeout as delay } from "node:timers/promises";
import { type Definitions, KindlingError } from "kindling";
import type { FlagsRecord, Misfit } from "kindling/contract";
import { KindeError, ThrottledError } from "../errors.ts";
import { asOutage, changed } from "../kinde/answers.ts";
import { isListed } from "../kinde/fetch-user.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Replication } from "../redis/durability.ts";
import type { Intent, Ledger, Written } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import { findMisfits } from "./property-values.ts";
import type { RefreshQueues } from "./queues.ts";
import type { RefreshUser } from "./refresh-user.ts";

/** Writes properties to Kinde and makes them visible to every reader. */
export type SetProperties = (
  userId: string,
  properties: Written,
  options: SetPropertiesOptions,
) => Promise<WrittenRecord>;

/** The record after a write. */
export interface WrittenRecord extends FlagsRecord {
  /** Flags that have their default because a written value does not fit. Reasons can quote values: do not log them. */
  misfits: readonly Misfit[];
}

/** Options for {@link SetProperties}. */
export interface SetPropertiesOptions extends CallOptions {
  /** Also drop Kinde's token cache for the user, so that the next token contains the values. Default: false. */
  refreshClaims?: boolean;
}

/** Dependencies of {@link createSetProperties}. */
export interface SetPropertiesDeps {
  api: ManagementApi;
  ledger: Pick<Ledger, "intend" | "release" | "withdraw" | "noteWrite">;
  records: Pick<Records, "read">;
  queues: Pick<RefreshQueues, "enqueueReprocess">;
  refreshUser: RefreshUser;
  /** Waits for replicas before the call returns. */
  replication: Pick<Replication, "confirm">;
  definitions: Definitions;
  /** How long Kinde's answers can be older than the write, in milliseconds. */
  settleMs: number;
}

/** Default of how long to wait for another write of the user, in milliseconds, and how often to look. */
const [turnPatienceMs, turnPollMs] = [10_000, 50];

/** How long to wait for the call budget once Kinde has accepted the values, in milliseconds. */
const readBackPatienceMs = 10_000;

/**
 * Creates the write-through: writes to Kinde first, then refreshes with a ticket later than that of any fetch that can
 * have missed the write. For `settleMs`, the written values override Kinde's answers, which can be torn or come from a
 * lagging replica. A confirming refresh at the end of that time picks up changes made elsewhere in the meantime.
 *
 * Writes of one user are made one after the other. Otherwise, of two writes of a property, nobody could tell which one
 * Kinde applied last.
 *
 * The ledger holds the user from before the write until a refresh after it, so that one follows even if this process dies
 * in between.
 *
 * Repeating a write with the same values is safe.
 *
 * @returns the new flags record, which every reader now sees
 * @throws {KindlingError} `user_not_found` if the user does not exist in Kinde
 * @throws {ThrottledError} if calls to Kinde are suspended, or other writes of the user take too long; nothing has changed
 * @throws {KindeError} if Kinde did not accept the values; nothing has changed. With `kinde_unavailable`, Kinde can have
 * accepted them all the same, so a refresh is queued
 * @throws {KindlingError} `write_not_visible` if Kinde accepted the values but the record could not be refreshed yet;
 * `claims_not_refreshed` if the values are visible but Kinde's token cache for the user was not dropped
 */
export function createSetProperties(deps: SetPropertiesDeps): SetProperties {
  const { ledger } = deps;
  return async (userId, properties, options) => {
    const intent = await takeTurn(ledger, userId, options);
    try {
      await write(deps, userId, intent, properties, options);
    } finally {
      // Without an answer from Redis, the intent expires.
      await ledger.release(userId, intent).catch(() => undefined);
    }
    const record = await makeVisible(deps, userId, options);
    if (options.refreshClaims) await refreshClaims(deps.api, userId, options);
    return { ...record, misfits: findMisfits(deps.definitions, properties) };
  };
}

async function takeTurn(ledger: Pick<Ledger, "intend">, userId: string, call: CallOptions): Promise<Intent> {
  const { signal, patienceMs = turnPatienceMs } = call;
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const intent = await ledger.intend(userId);
    if (intent !== undefined) return intent;
    if (performance.now() > deadline) throw new ThrottledError(1_000, { scope: "write" });
    await delay(turnPollMs, undefined, { signal });
  }
}

async function write(deps: SetPropertiesDeps, userId: string, intent: Intent, values: Written, call: CallOptions) {
  const { api, ledger, queues, settleMs } = deps;
  try {
    await writeProperties(api, userId, values, call);
  } catch (error) {
    const gone = await isGone(api, userId, error, call);
    // A gateway's 404 does not say that the user is gone, nor that Kinde did not get the values.
    const failure = gone ? error : asOutage(error);
    const rejected =
      failure instanceof ThrottledError || (failure instanceof KindeError && failure.code !== "kinde_unavailable");
    const cleanUp = rejected ? ledger.withdraw(userId, intent) : queues.enqueueReprocess([userId], "refresh");
    await cleanUp.catch(() => undefined);
    throw gone ? userNotFound(userId, failure) : failure;
  }
  await ledger.noteWrite(userId, intent, values, settleMs).catch((cause) => notVisible(deps, userId, cause));
}

/** Returns whether Kinde has no such user: it says so, and its list of users does too. */
async function isGone(api: ManagementApi, userId: string, error: unknown, call: CallOptions): Promise<boolean> {
  if (!(error instanceof KindeError) || (error.status !== 404 && error.status !== 400)) return false;
  return !(await isListed(api, userId, call).catch(() => true));
}

async function makeVisible(deps: SetPropertiesDeps, userId: string, call: CallOptions): Promise<FlagsRecord> {
  const { records, refreshUser, replication } = deps;
  const record = await readBack().catch((cause) => notVisible(deps, userId, cause));
  if (record.status === "deleted") throw userNotFound(userId);
  return record;

  async function readBack() {
    const { outcome } = await refreshUser(userId, {
      patienceMs: readBackPatienceMs,
      cause: "write",
      keep: true,
      ...call,
    });
    if (outcome === "absent" || outcome === "unknown") throw new Error("Kinde did not find the user after the write.");
    const { flags } = await records.read(userId);
    if (flags === undefined) throw new Error("The record was deleted after the refresh.");
    await replication.confirm(userId);
    return flags;
  }
}

async function notVisible({ queues }: SetPropertiesDeps, userId: string, cause: unknown): Promise<never> {
  // Enqueues a reprocess job, because a job for an event could be skipped.
  await queues.enqueueReprocess([userId], "refresh").catch(() => undefined);
  throw new KindlingError(
    "write_not_visible",
    `Kinde has the new values, but readers may not see them yet: a refresh is queued. Set them again to be sure.${reasonOf(cause)}`,
    { cause },
  );
}

function userNotFound(userId: string, cause?: unknown): KindlingError {
  return new KindlingError("user_not_found", `Kinde has no user ${userId}.`, { cause });
}

async function writeProperties(api: ManagementApi, userId: string, properties: Written, options: CallOptions) {
  await api.send(
    {
      method: "PATCH",
      path: `/api/v1/users/${encodeURIComponent(userId)}/properties`,
      route: "PATCH /api/v1/users/{id}/properties",
      scope: "update:user_properties",
      body: { properties },
      answer: changed,
    },
    { ...options, subject: userId },
  );
}

async function refreshClaims(api: ManagementApi, userId: string, options: CallOptions) {
  try {
    await api.send(
      {
        method: "POST",
        path: `/api/v1/users/${encodeURIComponent(userId)}/refresh_claims`,
        route: "POST /api/v1/users/{id}/refresh_claims",
        scope: "update:user_refresh_claims",
        answer: changed,
      },
      { ...options, subject: userId },
    );
  } catch (cause) {
    throw new KindlingError(
      "claims_not_refreshed",
      `The new values are set and every reader sees them, but Kinde's token cache was not dropped.${reasonOf(cause)}`,
      { cause },
    );
  }
}

// Messages of others can quote their input.
function reasonOf(cause: unknown): string {
  return cause instanceof KindlingError ? ` ${cause.message}` : "";
}
