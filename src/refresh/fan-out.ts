import type { Definitions } from "kindling";
import type { Profile, ProfilePart } from "kindling/contract";
import { KindeError } from "../errors.ts";
import { type Listing, listMembers, listRoleHolders } from "../kinde/list-users.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Records } from "../redis/records.ts";
import type { FanoutProgress, FanoutSubject } from "./queues.ts";

/** Where a fan-out continues. */
export type FanoutPlace = Omit<FanoutProgress, "ticket">;

/** One page of a fan-out. */
export interface FanoutPage {
  /** Users to refresh. */
  userIds: string[];
  /** Where to continue; `undefined` after the last page. */
  next: FanoutPlace | undefined;
}

/** Looks up one page of the users that a change to the subject affects. */
export type FanOut = (subject: FanoutSubject, at: FanoutPlace | undefined, options: CallOptions) => Promise<FanoutPage>;

/** Dependencies of {@link createFanOut}. */
export interface FanOutOptions {
  api: ManagementApi;
  records: Pick<Records, "scan">;
  definitions: Pick<Definitions, "mayNeed">;
  /** Parts of the profile that records contain. */
  keep: ReadonlySet<ProfilePart>;
  /** Makes refreshes fetch the organization's own properties and agreements again. */
  forgetOrganization: (code: string) => Promise<void>;
  /** Returns the users that are being refreshed now. */
  activeUsers: () => Promise<string[]>;
}

/**
 * Finds the users that a change to an organization, role or permission affects. Reads two sources in turn: Kinde's list,
 * which has the current holders, and our records, which also have the former ones. The records are the only source after
 * a deletion, and the only way to find the holders of a permission.
 *
 * Users who are being fetched when the fan-out starts are included: such a fetch can carry the old state and commit it to
 * a record that the fan-out has already passed.
 */
export function createFanOut(options: FanOutOptions): FanOut {
  const { api, records, definitions, keep, forgetOrganization, activeUsers } = options;
  const affectsRecords = (subject: FanoutSubject) => {
    const part = grantPart(subject);
    return part === undefined || keep.has(part) || definitions.mayNeed(part);
  };
  return async (subject, at, call) => {
    if (!affectsRecords(subject)) return { userIds: [], next: undefined };
    const [kind, id] = splitSubject(subject);
    // Before the active users are read: a refresh that is not among them starts later, and fetches it again.
    if (at === undefined && kind === "organization") await forgetOrganization(id);
    const fetching = at === undefined ? await activeUsers() : [];
    const listing = listingOf(api, subject);
    const page =
      listing === undefined || at?.source === "records"
        ? await recordsPage(records, affectedBy(subject, keep), at)
        : await listingPage(listing, at?.cursor ?? null, call);
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
    // Deleted in the meantime: the records still have its former holders.
    const gone = error instanceof KindeError && (error.code === "kinde_not_found" || error.status === 400);
    if (gone) return { userIds: [], next: null };
    throw error;
  });
  return { userIds, next: next === null ? { source: "records", cursor: null } : { source: "listing", cursor: next } };
}

async function recordsPage(
  records: Pick<Records, "scan">,
  isAffected: (profile: Profile) => boolean,
  at: FanoutPlace | undefined,
): Promise<FanoutPage> {
  const cursor = at?.cursor ?? "0";
  const page = await records.scan(cursor, 1000);
  const lost = cursor !== "0" && page.runId !== at?.runId;
  // Redis restarted or failed over: its new process would skip users. Refreshing some of them again is harmless.
  if (lost) return recordsPage(records, isAffected, undefined);
  return {
    userIds: page.profiles.filter(isAffected).map(({ id }) => id),
    next: page.cursor === "0" ? undefined : { source: "records", cursor: page.cursor, runId: page.runId },
  };
}

// If records do not contain the deciding part, everyone who could be affected counts as affected.
function affectedBy(subject: FanoutSubject, keep: ReadonlySet<ProfilePart>): (profile: Profile) => boolean {
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
