import type { Definitions } from "kindling";
import { type ExtraPart, extraParts, isPartMissing, type Profile, type ProfilePart } from "kindling/contract";
import { fetchUser } from "../kinde/fetch-user.ts";
import { keepParts } from "../kinde/keep-parts.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Ledger, Written } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";

/** What a refresh did. `superseded`: a later ticket had committed already, which is as good. */
export interface RefreshResult {
  outcome: "committed" | "superseded" | "deleted";
  ticket: number;
  /** Whether an event was acknowledged meanwhile, so that another refresh is due. */
  pending: boolean;
}

/** Fetches one user whole and commits the record: the only way a record is ever written anew. */
export type RefreshUser = (userId: string, options: CallOptions) => Promise<RefreshResult>;

/** What a refresh needs. */
export interface RefreshUserOptions {
  ledger: Pick<Ledger, "begin" | "settle">;
  records: Pick<Records, "commit" | "bury">;
  api: ManagementApi;
  flags: Definitions;
  /** Parts of the profile to keep. */
  keep: ReadonlySet<ProfilePart>;
  now: () => number;
}

/**
 * A refresh: ticket, fetch, derive, commit, settle, in this order. The ticket comes before the fetch, so that of two
 * refreshes the one that began later wins; the ledger is settled after the commit, so that a crash in between costs a
 * fetch and not an event.
 *
 * @throws {ThrottledError} {KindeError} as the Management API does; the record then stays as it was
 */
export function createRefreshUser(options: RefreshUserOptions): RefreshUser {
  const { ledger, records, flags, now } = options;
  // Grows when a flag function turns out to look at a part that the declarations do not name.
  const parts = new Set<ExtraPart>([...flags.needs, ...extraParts.filter((part) => options.keep.has(part))]);

  return async (userId, call) => {
    const { ticket, events, deleted, written } = await ledger.begin(userId);
    const stamp = { fetchedAt: now(), ticket, schema: flags.schema };
    const found = deleted ? undefined : await fetchAndDerive(options, userId, parts, call, written);
    const outcome =
      found === undefined
        ? await records.bury(userId, { flags: flags.defaults, status: "deleted", ...stamp })
        : await records.commit(
            { flags: found.flags, status: "present", ...stamp },
            keepParts(found.profile, options.keep),
          );
    const settled = await ledger.settle(userId, ticket, events);
    return {
      outcome: outcome === "committed" && found === undefined ? "deleted" : outcome,
      ticket,
      pending: settled === "pending",
    };
  };
}

/**
 * A user's profile and flags as of now; `undefined` when Kinde has no such user.
 *
 * @param written property values to take before Kinde's answer, which may not show them yet
 * @param parts what to fetch at first; gains whatever a flag function turns out to look at besides
 */
export async function fetchAndDerive(
  { api, flags }: Pick<RefreshUserOptions, "api" | "flags">,
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
      return { profile, flags: flags.derive(profile, fetched).flags };
    } catch (error) {
      if (!isPartMissing(error)) throw error;
      parts.add(error.part);
    }
  }
}
