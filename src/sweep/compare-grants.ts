import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Definitions } from "kindling";
import type { Grant, Membership, Profile } from "kindling/contract";
import { heldParts, withHeldParts } from "../kinde/keep-parts.ts";
import type { Records, StoredRecord } from "../redis/records.ts";
import { findFlagDifference } from "./compare-flags.ts";
import type { Disputes } from "./disputes.ts";
import { type GatherState, GrantsLost } from "./gather-grants.ts";
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
}

/** The listings to compare with, and where the comparison continues. */
export interface CompareGrantsInput {
  gathered: GatherState;
  /** When the listings were begun, in milliseconds since the epoch by Redis' clock. */
  startedAt: number;
  cursor: string;
}

/** Result of one step. */
export interface CompareGrantsStep {
  /** Users whose record differs. */
  refresh: string[];
  compared: number;
  /** Users whose record differs although it was fetched because of the same difference. */
  disputed: number;
  /** `"0"` after the last page. */
  cursor: string;
}

const scanCount = 500;

/**
 * Compares one page of records with the listings. Records that were fetched after the listings were begun are newer, and
 * left to the next walk.
 *
 * @throws {GrantsLost} if Redis lost a part of the index
 */
export async function compareGrantsStep(
  options: CompareGrantsOptions,
  { gathered, startedAt, cursor }: CompareGrantsInput,
): Promise<CompareGrantsStep> {
  const { index, records, disputes, definitions, settleMs } = options;
  const page = await records.scanIds(cursor, scanCount);
  const [stored, read] = await Promise.all([records.readMany(page.userIds), index.read(gathered.mark, page.userIds)]);
  if (read === undefined) throw new GrantsLost();
  const compared = page.userIds.flatMap((userId, position) => {
    const { flags, profile } = stored[position] ?? {};
    if (flags?.status !== "present" || profile === undefined || flags.fetchedAt > startedAt - settleMs) return [];
    const listed = { catalogue: read.catalogue, held: read.held[position] ?? [] };
    const different = differs({ flags, profile }, listed, gathered, definitions);
    return [{ userId, fetchedAt: flags.fetchedAt, different, fingerprint: fingerprintOf(read.held[position]) }];
  });
  const { open, disputed } = await disputes.settle(compared);
  return { refresh: open, compared: compared.length, disputed, cursor: page.cursor };
}

interface Listed {
  catalogue: GrantCatalogue;
  held: Held;
}

type Present = { [Member in keyof StoredRecord]-?: NonNullable<StoredRecord[Member]> };

function differs(
  { flags, profile }: Present,
  { catalogue, held }: Listed,
  { parts }: GatherState,
  definitions: Definitions,
) {
  if (held === "unknown") return true;
  const kept = heldParts(profile);
  const codes = kept.has("organizations")
    ? profile.organizations.map(({ code }) => code)
    : held.map(({ code }) => code);
  if (held.some(({ code }) => !codes.includes(code))) return true;
  const expected = codes.map((code) => listedMembership(catalogue, parts, code, held));
  const all = parts.includes("permissions");
  const stored = (code: string) => profile.organizations.find((membership) => membership.code === code);
  for (const membership of expected) {
    const record = stored(membership.code);
    if (kept.has("roles") && !sameGrants(record?.roles, membership.roles)) return true;
    if (!kept.has("permissions")) continue;
    // Without the listings by permission, only those of the roles are known.
    const comparable = all ? record?.permissions : commonGrants(record?.permissions, membership.permissions);
    if (!sameGrants(comparable, membership.permissions)) return true;
  }
  // A part that the record does not keep shows in the flags only.
  const missing = parts.filter((part) => !kept.has(part) && definitions.mayNeed(part));
  if (missing.length === 0 || (!all && missing.includes("roles") && definitions.mayNeed("permissions"))) return false;
  const view = withHeldParts({ ...profile, organizations: merge(profile, expected, kept) }, [
    "organizations",
    ...parts,
  ]);
  return findFlagDifference(definitions, flags, view) !== undefined;
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

function commonGrants(one: readonly Grant[] = [], other: readonly Grant[]): Grant[] {
  const ids = new Set(other.map(({ id }) => id));
  return one.filter(({ id }) => ids.has(id));
}

function idsOf(grants: readonly Grant[]): string[] {
  return [...new Set(grants.map(({ id, key }) => `${id}\n${key}`))].sort();
}

function fingerprintOf(held: Held = []): string {
  return createHash("sha1").update(JSON.stringify(held)).digest("base64url").slice(0, 12);
}
