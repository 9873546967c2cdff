import { KindlingError } from "kindling";
import type { FlagsRecord } from "kindling/contract";
import { z } from "zod";
import { KindeError, ThrottledError } from "../errors.ts";
import { isGone } from "../kinde/fetch-user.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Ledger, Written } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import type { RefreshQueues } from "./queues.ts";
import type { RefreshUser } from "./refresh-user.ts";

/** Writes properties to Kinde and makes them visible to every reader. */
export type SetProperties = (
  userId: string,
  properties: Written,
  options: SetPropertiesOptions,
) => Promise<FlagsRecord>;

/** How a write is done. */
export interface SetPropertiesOptions extends CallOptions {
  /** Also drop Kinde's own token cache for the user, so that the next token carries the values. Default false. */
  refreshClaims?: boolean;
}

/** What writing needs. */
export interface SetPropertiesDeps {
  api: ManagementApi;
  ledger: Pick<Ledger, "noteWrite">;
  records: Pick<Records, "read">;
  queues: Pick<RefreshQueues, "enqueueReprocess" | "enqueueSettled">;
  refreshUser: RefreshUser;
  /** How long an answer of Kinde's may be older than the write, in milliseconds. */
  settleMs: number;
}

/** Once Kinde has taken the values, a pause or a full budget is worth waiting out so long for, in milliseconds. */
const readBackPatienceMs = 10_000;

/**
 * Write-through: Kinde first, then a refresh whose ticket is later than that of any fetch that cannot have seen the
 * write. For a while after it, the values written stand before what Kinde answers, as its answer may be torn or come
 * from a copy that lags; a refresh at the end of that while takes up what anybody else has changed meanwhile.
 *
 * Safe to repeat: the same values once more change nothing.
 *
 * @returns the new flags record, which every reader sees by now
 * @throws {KindlingError} `user_not_found`: Kinde has no such user
 * @throws {ThrottledError} {KindeError} when Kinde did not take the values: nothing has changed. Only with
 * `kinde_unavailable` may it have taken them all the same; a refresh is queued that will tell
 * @throws {KindlingError} `write_not_visible` when Kinde took them, but the record could not be refreshed yet;
 * `claims_not_refreshed` when they are visible, but Kinde's token cache for the user was not dropped
 */
export function createSetProperties(deps: SetPropertiesDeps): SetProperties {
  return async (userId, properties, options) => {
    await write(deps, userId, properties, options);
    const record = await makeVisible(deps, userId, properties, options);
    if (options.refreshClaims) await refreshClaims(deps.api, userId, options);
    return record;
  };
}

async function write({ api, queues, settleMs }: SetPropertiesDeps, userId: string, values: Written, call: CallOptions) {
  try {
    await writeProperties(api, userId, values, call);
  } catch (error) {
    const refused =
      error instanceof ThrottledError || (error instanceof KindeError && error.code !== "kinde_unavailable");
    if (!refused) await queues.enqueueSettled(userId, settleMs).catch(() => undefined);
    if (await isGone(api, userId, error, call).catch(() => false)) throw userNotFound(userId, error);
    throw error;
  }
}

async function makeVisible(
  { ledger, records, queues, refreshUser, settleMs }: SetPropertiesDeps,
  userId: string,
  properties: Written,
  call: CallOptions,
): Promise<FlagsRecord> {
  const record = await readBack().catch(async (cause: unknown) => {
    // Not as an event's: such a job may be taken for done already.
    await queues.enqueueReprocess([userId], "refresh").catch(() => undefined);
    throw new KindlingError(
      "write_not_visible",
      "Kinde has the new values, but readers may not see them yet: a refresh is queued. To be sure, set them again.",
      { cause },
    );
  });
  if (record.status === "deleted") throw userNotFound(userId);
  return record;

  async function readBack() {
    await ledger.noteWrite(userId, properties, settleMs);
    await refreshUser(userId, { patienceMs: readBackPatienceMs, ...call });
    const { flags } = await records.read(userId);
    if (flags === undefined) throw new Error("the record is gone again");
    await queues.enqueueSettled(userId, settleMs);
    return flags;
  }
}

function userNotFound(userId: string, cause?: unknown): KindlingError {
  return new KindlingError("user_not_found", `Kinde has no user ${userId}.`, { cause });
}

const done = z.unknown();

async function writeProperties(api: ManagementApi, userId: string, properties: Written, options: CallOptions) {
  await api.send(
    {
      method: "PATCH",
      path: `/api/v1/users/${encodeURIComponent(userId)}/properties`,
      route: "PATCH /api/v1/users/{id}/properties",
      scope: "update:user_properties",
      body: { properties },
      answer: done,
    },
    options,
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
        answer: done,
      },
      options,
    );
  } catch (cause) {
    const why = cause instanceof KindlingError ? ` ${cause.message}` : "";
    throw new KindlingError(
      "claims_not_refreshed",
      `The new values are set and every reader sees them, but Kinde's token cache was not dropped.${why}`,
      { cause },
    );
  }
}
