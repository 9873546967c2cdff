import type { Definitions } from "kindling";
import {
  type ExtraPart,
  extraParts,
  type FlagsRecord,
  isPartMissing,
  organizationParts,
  type Profile,
  type ProfilePart,
} from "kindling/contract";
import { keepParts } from "../kinde/keep-parts.ts";
import { listDetails, type UserDetails } from "../kinde/list-details.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { SearchedUser } from "../kinde/search-users.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import { derivePage, detailsPart, pageProfile } from "./page-profile.ts";

/** Dependencies of {@link createFillPage}. */
export interface FillPageOptions {
  api: ManagementApi;
  ledger: Pick<Ledger, "clock" | "deleted">;
  records: Pick<Records, "commitMissing">;
  definitions: Definitions;
  /** Parts of the profile to keep. */
  keep: ReadonlySet<ProfilePart>;
  /** Maximum delay of the search index behind a write, in milliseconds. */
  indexLagMs: number;
}

/** Ticket, time and schema of the records created from one page. */
export type Stamp = Pick<FlagsRecord, "fetchedAt" | "ticket" | "schema">;

/** Creates records from search pages: hundreds of users per call instead of two or more calls per user. */
export interface FillPage {
  /** Draws the stamp. Call it before fetching the page. */
  stamp(): Promise<Stamp>;
  /**
   * Commits users without a record whose listing entries are complete.
   *
   * @returns the ids of the users that need an individual refresh
   */
  commit(users: readonly SearchedUser[], stamp: Stamp, call: CallOptions): Promise<string[]>;
}

/** Creates a {@link FillPage} that derives the same flags and keeps the same parts as a refresh. */
export function createFillPage(options: FillPageOptions): FillPage {
  const { api, ledger, records, definitions, keep, indexLagMs } = options;
  // Both grow when a flag function reads a part that its definition does not declare.
  const parts = new Set<ExtraPart>([...definitions.needs, ...extraParts.filter((part) => keep.has(part))]);
  let detailed = keep.has("account") || parts.has("billing");

  /** Returns `undefined` if the user needs a refresh. */
  const derive = (user: SearchedUser, details: UserDetails | undefined, stamp: Stamp): Entry | undefined => {
    const page = pageProfile(user, details);
    if ([...parts].some((part) => !page.known.has(part))) return undefined;
    try {
      const derived = derivePage(definitions, page, details !== undefined);
      return {
        record: { ...derived, status: "present", ...stamp },
        profile: keepParts(page.profile, keep),
      };
    } catch (error) {
      if (!isPartMissing(error)) throw error;
      if (String(error.part) === detailsPart) detailed = true;
      else parts.add(error.part);
      return undefined;
    }
  };
  const deriveAll = async (users: readonly SearchedUser[], stamp: Stamp, call: CallOptions): Promise<Entry[]> => {
    if (!detailed) {
      const entries = users.flatMap((user) => derive(user, undefined, stamp) ?? []);
      if (!detailed) return entries;
    }
    // Members that need a refresh for their grants anyway take no details call.
    const open = users.filter(({ organizations }) => organizations.length === 0 || !needsGrants(parts));
    const details = await listDetails(api, idsOf(open), call);
    // Users in the search but not in the user list can be deleted: leave them to a refresh.
    return open.flatMap((user) => {
      const found = details.get(user.id);
      return found === undefined ? [] : (derive(user, found, stamp) ?? []);
    });
  };

  return {
    async stamp() {
      // The index lags, so that a page reflects no event for certain: every refresh wins against ticket 1.
      return { fetchedAt: (await ledger.clock()) - indexLagMs, ticket: 1, schema: definitions.schema };
    },
    async commit(users, stamp, call) {
      const deleted = await ledger.deleted(idsOf(users));
      const open = users.filter(({ id }) => !deleted.has(id));
      const entries = await deriveAll(open, stamp, call);
      await records.commitMissing(entries);
      const done = new Set(entries.map(({ profile }) => profile.id));
      return idsOf(open).filter((id) => !done.has(id));
    },
  };
}

function needsGrants(parts: ReadonlySet<ExtraPart>): boolean {
  return (["roles", "permissions", ...organizationParts] as const).some((part) => parts.has(part));
}

function idsOf(users: readonly SearchedUser[]): string[] {
  return users.map(({ id }) => id);
}

interface Entry {
  record: FlagsRecord;
  profile: Profile;
}
