import type { Definitions } from "kindling";
import type { OrganizationValues, ProfilePart } from "kindling/contract";
import { parseInstant } from "../kinde/answers.ts";
import type { StoredRecord } from "../redis/records.ts";
import { byOrganization, type Difference } from "./compare-live.ts";

/** Causes of drift. {@link findCause} describes how each is recognised. */
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

/** One comparison of a user at Kinde with the record. */
export interface Comparison {
  /** Names of flags start with `flags.`, names of properties with `properties.`. Only `user` if either side lacks the user. */
  differences: Difference[];
  stored: StoredRecord;
  /** Age of the oldest pending event when the record was read, in milliseconds; 0 without one. */
  pendingMs: number;
  /** Whether the record comes from a fetch that started after this comparison did. */
  crossed: boolean;
  /** Ticket drawn when the fetch of this comparison ended. A later ticket means a later fetch. */
  ended: number;
}

/** Options for {@link findCause}. */
export interface FindCauseOptions {
  /** The comparison before `current`. */
  previous: Comparison;
  /** The comparison that confirmed the mismatch. */
  current: Comparison;
  /** Differences in both. */
  confirmed: readonly Difference[];
  definitions: Pick<Definitions, "schema" | "flags">;
  keep: ReadonlySet<ProfilePart>;
}

/**
 * Returns why a record differs. The first match wins:
 * - `deletion`: Kinde has no such user, or our record is a tombstone and the user exists;
 * - `missing`: Kinde has the user and there is no record: an import, or a sign-up without an event;
 * - `backlog`: an acknowledged event of the user is still pending, so the refresh is late;
 * - `lost_race`: the record comes from a fetch that started when Kinde already had the value: a refresh between both
 *   comparisons, or a sign-in at least a minute before the fetch;
 * - `flag_definitions`: the profile matches, but other definitions derived the flags;
 * - `property_change`: only what differs for which Kinde sends no event: properties, also of organizations, failed sign-ins;
 * - `missed_event`: any other difference, for which Kinde should have sent an event.
 */
export function findCause({ previous, current, confirmed, definitions, keep }: FindCauseOptions): DriftCause {
  const user = confirmed.find(({ name }) => name === "user");
  if (user !== undefined) return user.stored === "missing" ? "missing" : "deletion";
  if (current.pendingMs > 0) return "backlog";
  if ((current.stored.flags?.ticket ?? 0) > previous.ended || fetchedAfterSignIn(current, confirmed))
    return "lost_race";
  const inProfile = confirmed.filter(({ name }) => !name.startsWith("flags."));
  if (inProfile.length === 0) {
    if (current.stored.flags?.schema !== definitions.schema) return "flag_definitions";
    // Without stored properties, a property change shows only in the flags. Those of organizations are never stored.
    return !keep.has("properties") || confirmed.every((flag) => readsOrganizationProperties(flag, definitions))
      ? "property_change"
      : "missed_event";
  }
  return inProfile.every(({ name }) => hasNoEvent(name)) ? "property_change" : "missed_event";
}

function readsOrganizationProperties({ name, stored, live }: Difference, { flags }: Pick<Definitions, "flags">) {
  const names = name === `flags.${byOrganization}` ? differingFlags(stored, live) : [name.slice("flags.".length)];
  return names.every((flag) => flags[flag]?.needs.includes("organizationProperties"));
}

/** Returns the names of the flags that differ in some organization. */
function differingFlags(stored: unknown, live: unknown): string[] {
  // Differences are untyped; these two hold what a record does. `null`: no flag depended on the organization.
  const [one, other] = [(stored ?? {}) as OrganizationValues, (live ?? {}) as OrganizationValues];
  return Object.keys({ ...one, ...other }).flatMap((code) => {
    const [inOne, inOther] = [one[code] ?? {}, other[code] ?? {}];
    return Object.keys({ ...inOne, ...inOther }).filter((flag) => inOne[flag] !== inOther[flag]);
  });
}

/** Maximum clock difference between Kinde and the workers. */
const maxSkewMs = 60_000;

function fetchedAfterSignIn({ stored }: Comparison, confirmed: readonly Difference[]): boolean {
  const signIn = confirmed.find(({ name }) => name === "lastSignedIn");
  if (signIn === undefined || typeof signIn.live !== "string" || stored.flags === undefined) return false;
  return parseInstant(signIn.live) + maxSkewMs < stored.flags.fetchedAt;
}

function hasNoEvent(field: string): boolean {
  return field.startsWith("properties.") || field === "failedSignIns";
}
