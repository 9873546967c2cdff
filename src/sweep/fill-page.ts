import type { Definitions } from "kindling";
import {
  type ExtraPart,
  extraParts,
  type FlagsRecord,
  isPartMissing,
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

/** What filling needs. */
export interface FillPageOptions {
  api: ManagementApi;
  ledger: Pick<Ledger, "draw" | "deleted">;
  records: Pick<Records, "commitMissing">;
  flags: Definitions;
  /** Parts of the profile to keep. */
  keep: ReadonlySet<ProfilePart>;
  now: () => number;
  /** How far the search index may lag behind a write, in milliseconds. */
  indexLagMs: number;
}

/** What a record from a page is stamped with. */
export type Stamp = Pick<FlagsRecord, "fetchedAt" | "ticket" | "schema">;

/** Writes records straight from search pages: many users a call instead of two calls and more a user. */
export interface FillPage {
  /** To be called before the page is fetched. */
  stamp(): Promise<Stamp>;
  /**
   * Commits those of these users, who have no record, of whom the lists tell all that is needed.
   *
   * @returns the ids of the others: they take a refresh each
   */
  commit(users: readonly SearchedUser[], stamp: Stamp, call: CallOptions): Promise<string[]>;
}

/** Filling from pages, by the same flags and parts as a refresh. */
export function createFillPage(options: FillPageOptions): FillPage {
  const { api, ledger, records, flags, keep, now, indexLagMs } = options;
  // Both grow when a flag function turns out to look at what the declarations do not name.
  const parts = new Set<ExtraPart>([...flags.needs, ...extraParts.filter((part) => keep.has(part))]);
  let detailed = keep.has("account") || parts.has("billing");

  /** `undefined` where only a refresh can tell. */
  const derive = (user: SearchedUser, details: UserDetails | undefined, stamp: Stamp): Entry | undefined => {
    const page = pageProfile(user, details);
    if ([...parts].some((part) => !page.known.has(part))) return undefined;
    try {
      const derived = derivePage(flags, page, details !== undefined);
      return {
        record: { flags: derived, status: "present", ...stamp },
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
    // No call for the details of those of whom more is needed anyway.
    const open = users.filter(({ organizations }) => organizations.length === 0 || !needsGrants(parts));
    const details = await listDetails(api, idsOf(open), call);
    // Whom the search shows, and the list of users does not, is gone perhaps: a refresh will tell.
    return open.flatMap((user) => {
      const found = details.get(user.id);
      return found === undefined ? [] : (derive(user, found, stamp) ?? []);
    });
  };

  return {
    async stamp() {
      // As old as the index may be: whatever a webhook, a write or a deletion brings in that time is later, and wins.
      const fetchedAt = now() - indexLagMs;
      return { fetchedAt, ticket: (await ledger.draw()) - indexLagMs * 1000, schema: flags.schema };
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
  return parts.has("roles") || parts.has("permissions");
}

function idsOf(users: readonly SearchedUser[]): string[] {
  return users.map(({ id }) => id);
}

interface Entry {
  record: FlagsRecord;
  profile: Profile;
}
