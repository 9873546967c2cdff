import type { Definitions } from "kindling";
import { type ExtraPart, extraParts, type FlagsRecord, type Profile } from "kindling/contract";
import type { FetchedAccount, KnownExtras } from "../kinde/fetch-user.ts";
import { heldParts } from "../kinde/keep-parts.ts";
import type { Concern } from "../redis/ledger-scripts.ts";
import type { StoredRecord } from "../redis/records.ts";

/** A stored record whose roles, permissions and plans are recent enough to be kept. */
export interface Keepable {
  record: FlagsRecord;
  profile: Profile;
  /** What must be fetched all the same. */
  concern: Concern;
}

/**
 * Returns for how long roles, permissions and plans may be kept, in milliseconds: half of the age at which they are fetched
 * again anyway, and of every age that a flag accepts, because the record counts as old as its oldest part.
 */
export function keptAtMost({ flags }: Pick<Definitions, "flags">, extrasMaxAgeMs: number): number {
  const limits = Object.values(flags).map(({ freshness }) => freshness?.maxAge ?? Number.POSITIVE_INFINITY);
  return Math.min(extrasMaxAgeMs, ...limits) / 2;
}

/** Returns whether a fetch of these parts, of which `concern` must be fetched, can keep any: otherwise no record is read. */
export function canKeepAny(parts: ReadonlySet<ExtraPart>, concern: Concern): boolean {
  const grants = parts.has("roles") || parts.has("permissions");
  const plans = parts.has("billing");
  if (concern === "everything") return false;
  return (grants && concern !== "grants") || (plans && concern !== "plans");
}

/** Records filled from Kinde's lists have this ticket: they reflect no event for certain, and every refresh wins. */
export const ticketOfLists = 1;

/** Returns the record if parts of it may be kept by a refresh that drew `ticket` at `at`, in milliseconds since the epoch. */
export function findKeepable(
  { flags: record, profile }: StoredRecord,
  { ticket, at, maxAgeMs, concern }: { ticket: number; at: number; maxAgeMs: number; concern: Concern },
): Keepable | undefined {
  if (record?.status !== "present" || profile === undefined) return undefined;
  if (record.ticket <= ticketOfLists || record.ticket >= ticket) return undefined;
  const age = at - record.fetchedAt;
  return age >= 0 && age < maxAgeMs ? { record, profile, concern } : undefined;
}

/**
 * Returns the stored parts that a fetch would need further calls for, and that `concern` does not name. Memberships are left out
 * if they are no longer those of the record, plans if the billing customer is another, and both if the record lacks a part.
 */
export function keepExtras(
  { profile, concern }: Keepable,
  account: FetchedAccount,
  parts: ReadonlySet<ExtraPart>,
): Partial<KnownExtras> {
  const held = heldParts(profile);
  const needed = extraParts.filter((part) => parts.has(part));
  if (!held.has("organizations") || needed.some((part) => !held.has(part))) return {};
  const memberships = new Map(profile.organizations.map((membership) => [membership.code, membership]));
  const organizations = account.organizations.flatMap((code) => memberships.get(code) ?? []);
  const sameMemberships =
    memberships.size === account.organizations.length && organizations.length === account.organizations.length;
  const sameCustomer = profile.billing.customerId === account.customerId;
  const ofMembers = needed.some((part) => part !== "billing") && organizations.length > 0;
  const ofCustomer = needed.includes("billing") && account.customerId !== null;
  return {
    ...(ofMembers && sameMemberships && concern !== "grants" && { organizations }),
    ...(ofCustomer && sameCustomer && concern !== "plans" && { agreements: profile.billing.agreements }),
  };
}
