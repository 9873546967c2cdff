import type { Definitions } from "kindling";
import { type ExtraPart, extraParts, type FlagsRecord, type Profile } from "kindling/contract";
import type { FetchedAccount, KnownExtras } from "../kinde/fetch-user.ts";
import { heldParts } from "../kinde/keep-parts.ts";
import type { StoredRecord } from "../redis/records.ts";

/** A stored record whose roles, permissions and plans are recent enough to be kept. */
export interface Keepable {
  record: FlagsRecord;
  profile: Profile;
}

/**
 * Returns for how long roles, permissions and plans may be kept, in milliseconds: half of the age at which they are fetched
 * again anyway, and of every age that a flag accepts, because the record counts as old as its oldest part.
 */
export function keptAtMost({ flags }: Pick<Definitions, "flags">, extrasMaxAgeMs: number): number {
  const limits = Object.values(flags).map(({ freshness }) => freshness?.maxAge ?? Number.POSITIVE_INFINITY);
  return Math.min(extrasMaxAgeMs, ...limits) / 2;
}

/** Records filled from Kinde's lists have this ticket: they reflect no event for certain. */
const ticketOfLists = 1;

/** Returns the record if its parts may be kept by a refresh that drew `ticket` at `at`, in milliseconds since the epoch. */
export function findKeepable(
  { flags: record, profile }: StoredRecord,
  { ticket, at, maxAgeMs }: { ticket: number; at: number; maxAgeMs: number },
): Keepable | undefined {
  if (record?.status !== "present" || profile === undefined) return undefined;
  if (record.ticket <= ticketOfLists || record.ticket >= ticket) return undefined;
  const age = at - record.fetchedAt;
  return age >= 0 && age < maxAgeMs ? { record, profile } : undefined;
}

/**
 * Returns the stored parts that a fetch would need further calls for. `undefined` if it needs none, if the memberships or the
 * billing customer changed, or if the record does not hold all of the parts.
 */
export function keepExtras(
  { profile }: Keepable,
  account: FetchedAccount,
  parts: ReadonlySet<ExtraPart>,
): KnownExtras | undefined {
  const needed = extraParts.filter((part) => parts.has(part));
  const held = heldParts(profile);
  if (!held.has("organizations") || needed.some((part) => !held.has(part))) return undefined;
  const ofMembers = needed.some((part) => part !== "billing") && account.organizations.length > 0;
  const ofCustomer = needed.includes("billing") && account.customerId !== null;
  if (!ofMembers && !ofCustomer) return undefined;
  if (needed.includes("billing") && profile.billing.customerId !== account.customerId) return undefined;
  const memberships = new Map(profile.organizations.map((membership) => [membership.code, membership]));
  if (memberships.size !== account.organizations.length) return undefined;
  const organizations = account.organizations.flatMap((code) => memberships.get(code) ?? []);
  if (organizations.length !== account.organizations.length) return undefined;
  return { organizations, agreements: profile.billing.agreements };
}
