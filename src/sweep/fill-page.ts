import type { Definitions } from "kindling";
import {
  type Agreement,
  type ExtraPart,
  extraParts,
  type FlagsRecord,
  isPartMissing,
  type Profile,
  type ProfilePart,
} from "kindling/contract";
import pMap from "p-map";
import { concernsOne } from "../kinde/answers.ts";
import { patienceOfManyMs } from "../kinde/call-budget.ts";
import { fetchAgreements } from "../kinde/fetch-user.ts";
import { keepParts } from "../kinde/keep-parts.ts";
import { listDetails, type UserDetails } from "../kinde/list-details.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { SearchedUser } from "../kinde/search-users.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import { ticketOfLists } from "../refresh/keep-extras.ts";
import type { GrantPart } from "./gather-grants.ts";
import type { GrantCatalogue, Held } from "./grant-index.ts";
import { listedMembership } from "./listed-membership.ts";
import { derivePage, detailsPart, type ListedExtras, memberParts, pageProfile } from "./page-profile.ts";

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
   * Returns whether the flags of these members need roles or permissions. A function shows what it reads only when it runs,
   * so a few members are tried; one that reads more for a later user has that user refreshed.
   */
  needsGrants(members: readonly SearchedUser[], stamp: Stamp): boolean;
  /**
   * Commits users without a record whose listing entries are complete.
   *
   * @param grants what the listings of roles and permissions show of each user, if they were gathered
   * @returns the ids of the users that need an individual refresh
   */
  commit(users: readonly SearchedUser[], stamp: Stamp, call: CallOptions, grants?: GatheredGrants): Promise<string[]>;
}

/** What the listings of roles and permissions show. */
export interface GatheredGrants {
  parts: readonly GrantPart[];
  catalogue: GrantCatalogue;
  /** By user id. */
  held: ReadonlyMap<string, Held>;
}

/** Billing customers whose plans are fetched at the same time. */
const customersAtOnce = 5;
/** Customers of one page that Kinde does not answer about. More of them are an outage. */
const mostUnanswered = 5;

/** Members of one page whose flags are derived to see what they need. */
const membersTried = 20;

/** Creates a {@link FillPage} that derives the same flags and keeps the same parts as a refresh. */
export function createFillPage(options: FillPageOptions): FillPage {
  const { api, ledger, records, definitions, keep, indexLagMs } = options;
  // Both grow when a flag function reads a part that its definition does not declare.
  const parts = new Set<ExtraPart>([...definitions.needs, ...extraParts.filter((part) => keep.has(part))]);
  let detailed = keep.has("account") || parts.has("billing");

  /** Returns `undefined` if the user needs a refresh. */
  const derive = (user: SearchedUser, extras: ListedExtras, stamp: Stamp): Entry | undefined => {
    const page = pageProfile(user, extras);
    for (const part of parts) if (!page.known.has(part)) return undefined;
    try {
      const { flags, organizations } = derivePage(definitions, page, extras.details !== undefined);
      // Written out, as for hundreds of thousands of users spreads are a tenth of the work.
      const { fetchedAt, ticket, schema } = stamp;
      return {
        record: { flags, ...(organizations && { organizations }), status: "present", fetchedAt, ticket, schema },
        profile: keepParts(page.profile, keep),
      };
    } catch (error) {
      if (!isPartMissing(error)) throw error;
      if (String(error.part) === detailsPart) detailed = true;
      else parts.add(error.part);
      return undefined;
    }
  };
  /** Members that need a refresh for their grants anyway take no other call. */
  const isOpen = ({ user: { organizations }, grants }: ListedUser) =>
    organizations.length === 0 ||
    memberParts.every((part) => !parts.has(part) || grants?.parts.some((p) => p === part));
  const deriveAll = async (listed: readonly ListedUser[], stamp: Stamp, call: CallOptions): Promise<Entry[]> => {
    if (!detailed) {
      const entries = listed.flatMap(({ user, grants }) => derive(user, { grants }, stamp) ?? []);
      if (!detailed) return entries;
    }
    const open = listed.filter(isOpen);
    const details = await listDetails(api, idsOf(open.map(({ user }) => user)), call);
    const plans = await fetchPlans([...details.values()], call);
    // Users in the search but not in the user list can be deleted: leave them to a refresh.
    return open.flatMap(({ user, grants }) => {
      const found = details.get(user.id);
      if (found === undefined) return [];
      return derive(user, { details: found, agreements: plans.get(found.customerId), grants }, stamp) ?? [];
    });
  };
  const fetchPlans = async (details: readonly UserDetails[], call: CallOptions) => {
    const plans = new Map<string | null, readonly Agreement[]>();
    let unanswered = 0;
    const customers = parts.has("billing") ? details.flatMap(({ customerId }) => customerId ?? []) : [];
    const fetchPlansOf = async (customerId: string) => {
      try {
        plans.set(customerId, await fetchAgreements(api, customerId, { ...call, patienceMs: patienceOfManyMs }));
      } catch (error) {
        // The user is refreshed individually, which reports the failure.
        unanswered += 1;
        if (!concernsOne(error) || unanswered > mostUnanswered) throw error;
      }
    };
    await pMap(customers, fetchPlansOf, { concurrency: customersAtOnce });
    return plans;
  };

  return {
    async stamp() {
      // The index lags, so that a page reflects no event for certain.
      return { fetchedAt: (await ledger.clock()) - indexLagMs, ticket: ticketOfLists, schema: definitions.schema };
    },
    needsGrants(members, stamp) {
      const isNeeded = () => parts.has("roles") || parts.has("permissions");
      return (
        isNeeded() ||
        members
          .slice(0, membersTried)
          .some((user) => derive(user, { details: noDetails }, stamp) === undefined && isNeeded())
      );
    },
    async commit(users, stamp, call, gathered) {
      const deleted = await ledger.deleted(idsOf(users));
      const open = users.filter(({ id }) => !deleted.has(id));
      const listed = open.map((user) => ({ user, grants: gathered && grantsOf(user, gathered) }));
      const entries = await deriveAll(listed, stamp, call);
      await records.commitMissing(entries);
      const done = new Set(entries.map(({ profile }) => profile.id));
      return idsOf(open).filter((id) => !done.has(id));
    },
  };
}

/** Lets a function that reads details first go on to what it reads next. */
const noDetails: UserDetails = { phone: null, customerId: null };

interface ListedUser {
  user: SearchedUser;
  grants: ListedExtras["grants"];
}

/** Returns `undefined` if the listings contradict each other, or an entry is malformed: a fetch decides. */
function grantsOf(user: SearchedUser, { parts, catalogue, held }: GatheredGrants): ListedExtras["grants"] {
  const all = held.get(user.id) ?? [];
  if (all === "unknown" || all.some(({ code }) => !user.organizations.includes(code))) return undefined;
  return { parts, memberships: user.organizations.map((code) => listedMembership(catalogue, parts, code, all)) };
}

function idsOf(users: readonly SearchedUser[]): string[] {
  return users.map(({ id }) => id);
}

interface Entry {
  record: FlagsRecord;
  profile: Profile;
}
