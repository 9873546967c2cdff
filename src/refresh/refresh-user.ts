import type { Definitions } from "kindling";
import { type ExtraPart, extraParts, isPartMissing, type Profile, type ProfilePart } from "kindling/contract";
import { fetchUser } from "../kinde/fetch-user.ts";
import { keepParts } from "../kinde/keep-parts.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Ledger, Written } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import type { RefreshQueues } from "./queues.ts";

/** The result of a refresh. */
export interface RefreshResult {
  /** `superseded`: a refresh with a later ticket had already committed. */
  outcome: "committed" | "superseded" | "deleted";
  ticket: number;
  /** Whether an event arrived during the refresh, so that another refresh is needed. */
  pending: boolean;
}

/** Options for {@link RefreshUser}. */
export interface RefreshOptions extends CallOptions {
  /** Called with the ticket before anything is fetched. */
  onTicket?: (ticket: number) => void;
}

/** Fetches one user and commits the record. */
export type RefreshUser = (userId: string, options: RefreshOptions) => Promise<RefreshResult>;

/** Dependencies of {@link createRefreshUser}. */
export interface RefreshUserOptions {
  ledger: Pick<Ledger, "begin" | "settle">;
  records: Pick<Records, "commit" | "bury">;
  api: ManagementApi;
  definitions: Definitions;
  queues: Pick<RefreshQueues, "enqueueConfirm">;
  /** Parts of the profile to store. */
  keep: ReadonlySet<ProfilePart>;
}

/**
 * Creates the refresh: ticket, fetch, derive, commit, settle, in this order. The ticket is drawn before the fetch, so
 * that of two refreshes the one that started later wins. The ledger is settled after the commit, so that a crash in
 * between costs a fetch and not an event.
 *
 * If Kinde can have answered from a copy that lags, the ledger notes a confirming refresh. Its job is only a hint.
 *
 * @throws {ThrottledError} as {@link ManagementApi.get}; the record is unchanged
 * @throws {KindeError} as {@link ManagementApi.get}; the record is unchanged
 */
export function createRefreshUser(options: RefreshUserOptions): RefreshUser {
  const { ledger, records, queues, definitions } = options;
  // Grows when a flag function reads a part that the definitions do not declare.
  const parts = new Set<ExtraPart>([...definitions.needs, ...extraParts.filter((part) => options.keep.has(part))]);

  return async (userId, { onTicket, ...call }) => {
    const { ticket, at, events, deleted, written } = await ledger.begin(userId);
    onTicket?.(ticket);
    // Redis' clock: the clocks of two workers can differ.
    const stamp = { fetchedAt: Math.floor(at / 1000), ticket, schema: definitions.schema };
    const found = deleted ? undefined : await fetchAndDerive(options, userId, parts, call, written);
    const outcome =
      found === undefined
        ? await records.bury(userId, { flags: definitions.defaults, status: "deleted", ...stamp })
        : await records.commit(
            { flags: found.flags, status: "present", ...stamp },
            keepParts(found.profile, options.keep),
          );
    const { pending, confirmInMs } = await ledger.settle(userId, ticket, { events, at });
    if (confirmInMs !== undefined) await queues.enqueueConfirm(userId, confirmInMs);
    return {
      outcome: outcome === "committed" && found === undefined ? "deleted" : outcome,
      ticket,
      pending,
    };
  };
}

/**
 * Fetches a user and derives the flags.
 *
 * @param parts Parts to fetch. Parts that a flag function reads in addition are added to this set.
 * @param written Property values that override Kinde's answer, which can be older
 * @returns `undefined` if the user does not exist in Kinde
 */
export async function fetchAndDerive(
  { api, definitions }: Pick<RefreshUserOptions, "api" | "definitions">,
  userId: string,
  parts: Set<ExtraPart>,
  call: CallOptions,
  written: Written = {},
): Promise<{ profile: Profile; flags: Record<string, unknown> } | undefined> {
  for (;;) {
    const fetched = new Set(parts);
    const found = await fetchUser(api, userId, { ...call, parts: fetched });
    if (found === undefined) return undefined;
    const profile = { ...found, properties: { ...found.properties, ...written } };
    try {
      return { profile, flags: definitions.derive(profile, fetched).flags };
    } catch (error) {
      if (!isPartMissing(error)) throw error;
      parts.add(error.part);
    }
  }
}
