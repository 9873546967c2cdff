import { z } from "zod";
import type { FlagsRecord } from "../cache/record.ts";
import type { Records } from "../cache/records.ts";
import { KindlingError } from "../errors.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Ledger, Written } from "../queue/ledger.ts";
import type { Queues } from "../queue/queues.ts";
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
  queues: Pick<Queues, "enqueueRefreshes">;
  refreshUser: RefreshUser;
  /** How long an answer of Kinde's may be older than the write, in milliseconds. */
  settleMs: number;
}

/**
 * Write-through: Kinde first, then a refresh whose ticket is later than that of any fetch that cannot have seen the
 * write. For a while after it, the values written stand before what Kinde answers, as its answer may be torn or come
 * from a copy that lags; a refresh at the end of that while takes up what anybody else has changed meanwhile.
 *
 * @returns the new flags record, which every reader sees by now
 * @throws {KindeError} {ThrottledError} when Kinde did not take the write: nothing has changed
 * @throws {KindlingError} `write_not_visible` when Kinde took it, but the record could not be refreshed yet
 */
export function createSetProperties(deps: SetPropertiesDeps): SetProperties {
  const { api } = deps;
  return async (userId, properties, options) => {
    await writeProperties(api, userId, properties, options);
    const record = await makeVisible(deps, userId, properties, options);
    if (options.refreshClaims) await refreshClaims(api, userId, options);
    return record;
  };
}

async function makeVisible(
  { ledger, records, queues, refreshUser, settleMs }: SetPropertiesDeps,
  userId: string,
  properties: Written,
  call: CallOptions,
): Promise<FlagsRecord> {
  try {
    await ledger.noteWrite(userId, properties, settleMs);
    await refreshUser(userId, call);
    const { flags } = await records.read(userId);
    if (flags === undefined) throw new Error("the record is gone again");
    await queues.enqueueRefreshes([{ userId, delayMs: settleMs }]);
    return flags;
  } catch (cause) {
    await queues.enqueueRefreshes([{ userId, delayMs: 0 }]).catch(() => undefined);
    throw new KindlingError(
      "write_not_visible",
      "Kinde has the new values, but they could not be made visible here yet: a refresh is queued.",
      { cause },
    );
  }
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
}
