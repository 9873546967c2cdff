import type { Records } from "../cache/records.ts";
import { isPartMissing, PartMissing, withholdParts } from "../flags/computed.ts";
import type { Flags } from "../flags/define-flags.ts";
import { blankProfile, keepParts, type Profile } from "../kinde/profile.ts";
import type { SearchedUser } from "../kinde/search-users.ts";
import type { ProfilePart } from "../profile-parts.ts";

/** Makes records of users as the search shows them; answers the ids of those whose flags need more than it shows. */
export type FillPage = (users: readonly SearchedUser[], at: PageStamp) => Promise<string[]>;

/** When a page was asked for. */
export interface PageStamp {
  /** Drawn before the page was fetched. */
  ticket: number;
  /** Milliseconds since the epoch. */
  askedAt: number;
}

/** What filling needs. */
export interface FillPageOptions {
  records: Pick<Records, "commit">;
  flags: Flags;
  keep: ReadonlySet<ProfilePart>;
  /** How far the search index may lag behind, in milliseconds. */
  indexLagMs: number;
}

/**
 * Filling, for users who have no record: a whole page for one call. What the index shows may be as old as it lags, so
 * the commit's ticket is as much earlier: whatever was fetched, written through or buried since wins over it. Numbers of
 * tickets are microseconds, which makes that a subtraction.
 *
 * The ledger is left alone: an acknowledged event is reflected by a refresh only. Phone, billing, roles and permissions,
 * which the search does not show, come into the profile with the user's next refresh.
 */
export function createFillPage({ records, flags, keep, indexLagMs }: FillPageOptions): FillPage {
  return async (users, { ticket, askedAt }) => {
    const stamp = {
      fetchedAt: askedAt - indexLagMs,
      ticket: ticket - indexLagMs * 1000,
      schema: flags.schema,
    };
    const needing = await Promise.all(
      users.map(async (user) => {
        const profile = profileOf(user);
        const values = derive(flags, profile);
        if (values === undefined) return [user.id];
        await records.commit({ flags: values, status: "present", ...stamp }, keepParts(profile, keep));
        return [];
      }),
    );
    return needing.flat();
  };
}

function profileOf({ organizations, ...user }: SearchedUser): Profile {
  return {
    ...blankProfile(user.id),
    ...user,
    organizations: organizations.map((code) => ({ code, roles: [], permissions: [] })),
  };
}

/** `undefined` when a flag looks at what the search does not show. */
function derive(flags: Flags, profile: Profile): Record<string, unknown> | undefined {
  const hidden = (part: string) => ({
    get: (): never => {
      throw new PartMissing(part);
    },
    enumerable: true,
  });
  const shown = Object.defineProperties(withholdParts(profile, new Set()), {
    phone: hidden("phone"),
    billing: hidden("billing"),
  });
  try {
    return flags.derive(shown).flags;
  } catch (error) {
    if (isPartMissing(error)) return undefined;
    throw error;
  }
}
