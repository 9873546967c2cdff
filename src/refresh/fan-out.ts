import type { Definitions } from "kindling";
import type { Profile, ProfilePart } from "kindling/contract";
import { KindeError } from "../errors.ts";
import { heldParts } from "../kinde/keep-parts.ts";
import { type Listing, listMembers, listRoleHolders } from "../kinde/list-users.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { follow } from "../kinde/paging.ts";
import { type Records, scanStart } from "../redis/records.ts";
import type { Organizations } from "./organizations.ts";
import type { FanoutProgress, FanoutSubject } from "./queues.ts";

/** Where a fan-out continues. */
export type FanoutPlace = Omit<FanoutProgress, "ticket" | "at">;

/** One page of a fan-out. */
export interface FanoutPage {
  /** Users to refresh. */
  userIds: string[];
  /** Where to continue; `undefined` after the last page. */
  next: FanoutPlace | undefined;
}

/** Looks up one page of the users that a change to the subject affects. */
export type FanOut = (
  subject: FanoutSubject,
  at: FanoutPlace | undefined,
  options: FanOutCallOptions,
) => Promise<FanoutPage>;

/** Options for {@link FanOut}. */
export interface FanOutCallOptions extends CallOptions {
  /** When the change was acknowledged, in milliseconds since the epoch. Default: now. */
  changedAt?: number | undefined;
}

/** Dependencies of {@link createFanOut}. */
export interface FanOutOptions {
  api: ManagementApi;
  records: Pick<Records, "scan">;
  definitions: Pick<Definitions, "mayNeed">;
  /** Parts of the profile that records contain. */
  keep: ReadonlySet<ProfilePart>;
  organizations: Pick<Organizations, "forget" | "doubt">;
  /** Notes that a role or permission changed, for fills that have gathered who holds what but not written it yet. */
  noteGrantChange: (subject: FanoutSubject) => Promise<void>;
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
  const { api, records, definitions, keep, organizations, noteGrantChange, activeUsers } = options;
  // A role grants permissions, so its events concern records that contain these alone.
  const affectsRecords = (subject: FanoutSubject) => {
    const part = grantPart(subject);
    const parts = part === "roles" ? (["roles", "permissions"] as const) : part === undefined ? [] : [part];
    return part === undefined || parts.some((each) => keep.has(each) || definitions.mayNeed(each));
  };
  return async (subject, at, { changedAt, ...call }) => {
    const [kind, id] = splitSubject(subject);
    if (kind === "plans") await organizations.doubt(id, changedAt, call);
    if (kind === "plans" || !affectsRecords(subject)) return { userIds: [], next: undefined };
    // Before the active users are read: a refresh that is not among them starts later, and fetches it again.
    if (at === undefined && kind === "organization") await organizations.forget(id, changedAt);
    // Before the records are searched: a page of a fill that misses the note has written its records by then.
    if (at === undefined && kind !== "organization") await noteGrantChange(subject);
    const fetching = at === undefined ? await activeUsers() : [];
    const listing = listingOf(api, subject);
    const page =
      listing === undefined || at?.source === "records"
        ? await recordsPage(records, affectedBy(subject), at)
        : await listingPage(listing, at, call);
    return { ...page, userIds: [...new Set([...fetching, ...page.userIds])] };
  };
}

/** How often a listing begins again before the records alone decide. */
const mostRefusals = 3;

function listingOf(api: ManagementApi, subject: FanoutSubject): Listing | undefined {
  const [kind, id] = splitSubject(subject);
  if (kind === "organization") return listMembers(api, id);
  return kind === "role" ? listRoleHolders(api, id) : undefined;
}

async function listingPage(listing: Listing, at: FanoutPlace | undefined, options: CallOptions): Promise<FanoutPage> {
  const cursor = at?.cursor ?? null;
  const refusals = at?.refusals ?? 0;
  try {
    const { userIds, next } = await listing(cursor, options);
    if (next === null) return { userIds, next: { source: "records", cursor: null } };
    const trail = follow(at?.trail, next, { route: "The listing of affected users" });
    return { userIds, next: { source: "listing", cursor: next, trail, ...(refusals > 0 && { refusals }) } };
  } catch (error) {
    if (!(error instanceof KindeError)) throw error;
    // The cursor can expire while a long fan-out waits for room. Refreshing the users before it again is harmless.
    if (error.status === 400 && cursor !== null && refusals < mostRefusals)
      return { userIds: [], next: { source: "listing", cursor: null, refusals: refusals + 1 } };
    // Deleted in the meantime: the records still have its former holders.
    if (error.code === "kinde_not_found" || error.status === 400)
      return { userIds: [], next: { source: "records", cursor: null } };
    throw error;
  }
}

async function recordsPage(
  records: Pick<Records, "scan">,
  isAffected: (profile: Profile) => boolean,
  at: FanoutPlace | undefined,
): Promise<FanoutPage> {
  // If it begins again, some users are refreshed twice, which is harmless.
  const page = await records.scan({ cursor: at?.cursor ?? scanStart.cursor, runId: at?.runId }, 1000);
  return {
    userIds: page.profiles.filter(isAffected).map(({ id }) => id),
    next: page.cursor === scanStart.cursor ? undefined : { source: "records", cursor: page.cursor, runId: page.runId },
  };
}

// If a record does not hold the deciding part, a user who could be affected counts as affected.
function affectedBy(subject: FanoutSubject): (profile: Profile) => boolean {
  const id = splitSubject(subject)[1];
  const part = grantPart(subject);
  return (profile) => {
    const { organizations } = profile;
    const held = heldParts(profile);
    if (!held.has("organizations")) return true;
    if (part === undefined) return organizations.some(({ code }) => code === id);
    if (!held.has(part)) return organizations.length > 0;
    return organizations.some((membership) => membership[part].some((grant) => grant.id === id));
  };
}

function grantPart(subject: FanoutSubject): "roles" | "permissions" | undefined {
  const [kind] = splitSubject(subject);
  return kind === "organization" ? undefined : kind === "role" ? "roles" : "permissions";
}

function splitSubject(subject: FanoutSubject): [kind: string, id: string] {
  const colon = subject.indexOf(":");
  return [subject.slice(0, colon), subject.slice(colon + 1)];
}
