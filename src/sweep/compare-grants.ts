import { isDeepStrictEqual } from "node:util";
import type { Definitions } from "kindling";
import type { Grant, Membership, Profile } from "kindling/contract";
import { heldParts, withHeldParts } from "../kinde/keep-parts.ts";
import type { Records, ScanPlace, StoredRecord } from "../redis/records.ts";
import { findFlagDifference, readsPermissions } from "./compare-flags.ts";
import type { Disputes } from "./disputes.ts";
import { type GatherState, GrantsLost, isSelected } from "./gather-grants.ts";
import type { GrantCatalogue, GrantIndex, Held } from "./grant-index.ts";
import { listedMembership } from "./listed-membership.ts";

/** Dependencies of {@link compareGrantsStep}. */
export interface CompareGrantsOptions {
  index: Pick<GrantIndex, "read">;
  records: Pick<Records, "scanIds" | "readMany">;
  disputes: Disputes;
  definitions: Definitions;
  /** How long before the listings a record must have been fetched to be compared, in milliseconds: they can lag. */
  settleMs: number;
  /** Redis' clock, which records are stamped by. */
  clock: () => Promise<number>;
}

/** The listings to compare with, and where the comparison continues. */
export interface CompareGrantsInput extends ScanPlace {
  gathered: GatherState;
  /** When the listings were begun, in milliseconds since the epoch by Redis' clock. */
  startedAt: number;
}

/** Result of one step. */
export interface CompareGrantsStep {
  /** Users whose record differs. */
  refresh: string[];
  compared: number;
  different: number;
  /** Users whose record differs as before, although it was fetched twice because of that. */
  disputed: number;
  /** Whether a flag that is a function read permissions of one of them. */
  reads: boolean;
  /** `"0"` after the last page. */
  cursor: string;
  runId: string;
}

const scanCount = 500;

/**
 * Compares one page of records with the listings. A record that was fetched after the listings were begun is newer: that it
 * differs says nothing, and is left to the next walk.
 *
 * @throws {GrantsLost} if Redis lost a part of the index
 */
export async function compareGrantsStep(
  options: CompareGrantsOptions,
  { gathered, startedAt, ...place }: CompareGrantsInput,
): Promise<CompareGrantsStep> {
  const { index, records, disputes, definitions, settleMs, clock } = options;
  // It begins again if the Redis of the records, which can be another than that of the index, restarted. Comparing some
  // records twice is harmless.
  const page = await records.scanIds(place, scanCount);
  const [stored, read, now] = await Promise.all([
    records.readMany(page.userIds),
    index.read(gathered.mark, page.userIds),
    clock(),
  ]);
  if (read === undefined) throw new GrantsLost();
  let reads = false;
  const compared = page.userIds.flatMap((userId, position) => {
    const { flags, profile } = stored[position] ?? {};
    if (flags?.status !== "present" || profile === undefined) return [];
    const listed = { catalogue: read.catalogue, held: read.held[position] ?? [] };
    reads ||= readsPermissions(definitions, withListed(profile, listed, gathered));
    const different = differs({ flags, profile }, listed, gathered, definitions);
    // A fetch ahead of the clock was stamped before the clock stepped back: it is not newer.
    const newer = flags.fetchedAt > startedAt - settleMs && flags.fetchedAt <= now;
    return newer && different ? [] : [{ userId, newer, different, listed: comparable(listed, gathered) }];
  });
  const { refresh, disputed } = await disputes.settle(compared);
  return {
    refresh,
    compared: compared.filter(({ newer }) => !newer).length,
    different: compared.filter(({ different }) => different).length - disputed.length,
    disputed: disputed.length,
    reads,
    cursor: page.cursor,
    runId: page.runId,
  };
}

interface Listed {
  catalogue: GrantCatalogue;
  held: Held;
}

type Present = { [Member in keyof StoredRecord]-?: NonNullable<StoredRecord[Member]> };

function differs(
  { flags, profile }: Present,
  listed: Listed,
  gathered: GatherState,
  definitions: Definitions,
): boolean {
  const { held } = listed;
  const { parts, selection } = gathered;
  if (held === "unknown") return true;
  const kept = heldParts(profile);
  const expected = expectedMemberships(profile, listed, gathered);
  const known = new Set(expected.map(({ code }) => code));
  if (held.some(({ code }) => !known.has(code))) return true;
  const all = parts.includes("permissions");
  const isListed = ({ key }: Grant) => all && isSelected(selection, key);
  const stored = (code: string) => profile.organizations.find((membership) => membership.code === code);
  for (const membership of expected) {
    const record = stored(membership.code);
    if (kept.has("roles") && !sameGrants(record?.roles, membership.roles)) return true;
    if (!kept.has("permissions")) continue;
    // Of permissions that are not listed, only those of the roles are known.
    const comparable = selectGrants(record?.permissions, membership.permissions, isListed);
    if (!sameGrants(comparable, membership.permissions)) return true;
  }
  // A part that the record does not keep shows in the flags only.
  if (!parts.some((part) => !kept.has(part) && definitions.mayNeed(part))) return false;
  const view = withListed(profile, listed, gathered);
  const whole = withHeldParts(view, ["permissions"]);
  const complete = all && selection === undefined;
  return (
    findFlagDifference(definitions, flags, all && !selection?.except ? whole : view, complete ? whole : view) !==
    undefined
  );
}

/** The user's memberships as the listings show them. */
function expectedMemberships(profile: Profile, { catalogue, held }: Listed, { parts }: GatherState): Membership[] {
  const entries = held === "unknown" ? [] : held;
  const codes = heldParts(profile).has("organizations")
    ? profile.organizations.map(({ code }) => code)
    : entries.map(({ code }) => code);
  return codes.map((code) => listedMembership(catalogue, parts, code, entries));
}

/** Returns the profile with the memberships and roles that it does not hold as the listings show them. */
function withListed(profile: Profile, listed: Listed, gathered: GatherState): Profile {
  const organizations = merge(profile, expectedMemberships(profile, listed, gathered), heldParts(profile));
  return withHeldParts({ ...profile, organizations }, ["organizations", "roles"]);
}

function merge(profile: Profile, expected: readonly Membership[], kept: ReadonlySet<string>): Membership[] {
  return expected.map((membership) => {
    const record = profile.organizations.find(({ code }) => code === membership.code);
    return {
      ...membership,
      ...(kept.has("roles") && record && { roles: record.roles }),
      ...(kept.has("permissions") && record && { permissions: record.permissions }),
    };
  });
}

function sameGrants(one: readonly Grant[] = [], other: readonly Grant[]): boolean {
  return isDeepStrictEqual(idsOf(one), idsOf(other));
}

function selectGrants(
  one: readonly Grant[] = [],
  other: readonly Grant[],
  isListed: (grant: Grant) => boolean,
): Grant[] {
  const ids = new Set(other.map(({ id }) => id));
  return one.filter((grant) => isListed(grant) || ids.has(grant.id));
}

function idsOf(grants: readonly Grant[]): string[] {
  return [...new Set(grants.map(({ id, key }) => `${id}\n${key}`))].sort();
}

/** Returns what the listings show of a user: by ids, as positions in the catalogue change, and in a fixed order. */
function comparable({ catalogue, held }: Listed, { parts }: GatherState) {
  if (held === "unknown") return undefined;
  const memberships = held.map(({ code }) => listedMembership(catalogue, parts, code, held));
  return memberships
    .sort((one, other) => (one.code < other.code ? -1 : 1))
    .map(({ code, roles, permissions }) => [code, idsOf(roles), idsOf(permissions)]);
}
