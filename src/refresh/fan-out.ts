import type { Definitions } from "kindling";
import type { Profile, ProfilePart } from "kindling/contract";
import { KindeError } from "../errors.ts";
import { type Listing, listMembers, listRoleHolders } from "../kinde/list-users.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Records } from "../redis/records.ts";
import type { FanoutProgress, FanoutSubject } from "./queues.ts";

/** Users to refresh, and where to go on; `undefined` at the end. */
export interface FanoutPage {
  userIds: string[];
  next: Pick<FanoutProgress, "source" | "cursor"> | undefined;
}

/** Looks up one page of the users a subject concerns. */
export type FanOut = (
  subject: FanoutSubject,
  at: Pick<FanoutProgress, "source" | "cursor"> | undefined,
  options: CallOptions,
) => Promise<FanoutPage>;

/** What looking up needs. */
export interface FanOutOptions {
  api: ManagementApi;
  records: Pick<Records, "scan">;
  flags: Pick<Definitions, "mayNeed">;
  /** Parts of the profile that records keep. */
  keep: ReadonlySet<ProfilePart>;
  /** Users who are being fetched now. */
  inHand: () => Promise<string[]>;
}

/**
 * Whom an organization, role or permission concerns, from two sources one after the other: Kinde's listing, which knows
 * those who have it now, and our own records, which know those who had it (after its deletion the listing is gone) and
 * are the only way from a permission to its holders. A fetch in hand may hold what is gone by now and bring it into a
 * record we have passed already: whoever is being fetched at the start counts too.
 */
export function createFanOut({ api, records, flags, keep, inHand }: FanOutOptions): FanOut {
  const matters = (subject: FanoutSubject) => {
    const part = grantPart(subject);
    return part === undefined || keep.has(part) || flags.mayNeed(part);
  };
  return async (subject, at, options) => {
    if (!matters(subject)) return { userIds: [], next: undefined };
    const fetching = at === undefined ? await inHand() : [];
    const listing = listingOf(api, subject);
    const page =
      listing === undefined || at?.source === "records"
        ? await recordsPage(records, concerns(subject, keep), at?.cursor ?? "0")
        : await listingPage(listing, at?.cursor ?? null, options);
    return { ...page, userIds: [...new Set([...fetching, ...page.userIds])] };
  };
}

function listingOf(api: ManagementApi, subject: FanoutSubject): Listing | undefined {
  const [kind, id] = splitSubject(subject);
  if (kind === "organization") return listMembers(api, id);
  return kind === "role" ? listRoleHolders(api, id) : undefined;
}

async function listingPage(listing: Listing, cursor: string | null, options: CallOptions): Promise<FanoutPage> {
  const { userIds, next } = await listing(cursor, options).catch((error: unknown) => {
    // Deleted meanwhile: whom it concerned, our records tell.
    const gone = error instanceof KindeError && (error.code === "kinde_not_found" || error.status === 400);
    if (gone) return { userIds: [], next: null };
    throw error;
  });
  return { userIds, next: next === null ? { source: "records", cursor: null } : { source: "listing", cursor: next } };
}

async function recordsPage(
  records: Pick<Records, "scan">,
  concerned: (profile: Profile) => boolean,
  cursor: string,
): Promise<FanoutPage> {
  const page = await records.scan(cursor, 1000);
  return {
    userIds: page.profiles.filter(concerned).map(({ id }) => id),
    next: page.cursor === "0" ? undefined : { source: "records", cursor: page.cursor },
  };
}

// Where records do not keep what would tell, everyone counts who could be concerned.
function concerns(subject: FanoutSubject, keep: ReadonlySet<ProfilePart>): (profile: Profile) => boolean {
  const id = splitSubject(subject)[1];
  const part = grantPart(subject);
  if (!keep.has("organizations")) return () => true;
  if (part === undefined) return ({ organizations }) => organizations.some(({ code }) => code === id);
  if (!keep.has(part)) return ({ organizations }) => organizations.length > 0;
  return ({ organizations }) => organizations.some((membership) => membership[part].some((grant) => grant.id === id));
}

function grantPart(subject: FanoutSubject): "roles" | "permissions" | undefined {
  const [kind] = splitSubject(subject);
  return kind === "organization" ? undefined : kind === "role" ? "roles" : "permissions";
}

function splitSubject(subject: FanoutSubject): [kind: string, id: string] {
  const colon = subject.indexOf(":");
  return [subject.slice(0, colon), subject.slice(colon + 1)];
}
