import type { Definitions } from "kindling";
import type { ProfilePart } from "kindling/contract";
import type { StoredRecord } from "../redis/records.ts";
import type { Difference } from "./compare-live.ts";

/** Why records differ from Kinde; how each is told stands at {@link findCause}. */
export const driftCauses = [
  "deletion",
  "missing",
  "backlog",
  "lost_race",
  "flag_definitions",
  "property_change",
  "missed_event",
] as const;
export type DriftCause = (typeof driftCauses)[number];

/** One look at a user at Kinde and at the record. */
export interface Look {
  /** By name: a flag's begins with `flags.`, a property's with `properties.`; `user` alone where either lacks the user. */
  differences: Difference[];
  stored: StoredRecord;
  /** How long an acknowledged event had been outstanding when the record was read, in milliseconds; 0: none was. */
  owedMs: number;
  /** Whether the record stems from a fetch that began after this look did. */
  crossed: boolean;
  /** Number of the moment its fetch had ended: a later ticket's fetch began after that. */
  ended: number;
}

/** What the cause is told from. */
export interface FindCauseOptions {
  /** The look that found the mismatch first, and the one that confirmed it. */
  before: Look;
  look: Look;
  /** What both found. */
  confirmed: readonly Difference[];
  flags: Pick<Definitions, "schema">;
  keep: ReadonlySet<ProfilePart>;
}

/**
 * Why a record differs, the first of these that holds:
 * - `deletion`: Kinde has no such user, or has one whom we hold for deleted;
 * - `missing`: Kinde has the user, and we have no record: an import, or a sign-up whose event never came;
 * - `backlog`: an event of the user's is acknowledged and still outstanding: we know, and are late;
 * - `lost_race`: the record stems from a fetch that began when Kinde already had the value: a refresh between both looks,
 *   or a sign-in a minute and more before the record's fetch;
 * - `flag_definitions`: the profile is right, its flags were derived by other definitions;
 * - `property_change`: only what Kinde sends no event for differs: properties, failed sign-ins;
 * - `missed_event`: anything else, for which an event should have come.
 */
export function findCause({ before, look, confirmed, flags, keep }: FindCauseOptions): DriftCause {
  const user = confirmed.find(({ name }) => name === "user");
  if (user !== undefined) return user.stored === "missing" ? "missing" : "deletion";
  if (look.owedMs > 0) return "backlog";
  if ((look.stored.flags?.ticket ?? 0) > before.ended || sawLaterThan(look, confirmed)) return "lost_race";
  const inProfile = confirmed.filter(({ name }) => !name.startsWith("flags."));
  if (inProfile.length === 0) {
    if (look.stored.flags?.schema !== flags.schema) return "flag_definitions";
    // A record that keeps no properties shows their change in its flags alone.
    return keep.has("properties") ? "missed_event" : "property_change";
  }
  return inProfile.every(({ name }) => isUntold(name)) ? "property_change" : "missed_event";
}

/** Clocks may differ by so much, in milliseconds. */
const skewMs = 60_000;

function sawLaterThan({ stored }: Look, confirmed: readonly Difference[]): boolean {
  const signIn = confirmed.find(({ name }) => name === "lastSignedIn");
  if (signIn === undefined || typeof signIn.live !== "string" || stored.flags === undefined) return false;
  return Date.parse(signIn.live) + skewMs < stored.flags.fetchedAt;
}

function isUntold(field: string): boolean {
  return field.startsWith("properties.") || field === "failedSignIns";
}
