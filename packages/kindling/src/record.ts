import type { OrganizationValues } from "./definitions/in-organizations.ts";

/**
 * The JSON under `<prefix>:flags:{<user id>}`. Public: app servers in any language can rely on it. Members may be added
 * but never change.
 */
export interface FlagsRecord {
  /** Flags that depend on the current organization have their defaults here. */
  flags: Readonly<Record<string, unknown>>;
  /** Values of the flags that depend on the current organization; absent if there are none. */
  organizations?: OrganizationValues | undefined;
  /** `deleted` marks a tombstone, whose flags are the defaults and deny values. */
  status: "present" | "deleted";
  /** Start of the fetch that the record comes from, in milliseconds since the epoch. Of several fetches, the oldest. */
  fetchedAt: number;
  /**
   * Start of the fetch of account fields and properties, in milliseconds since the epoch, if it is later than that of roles,
   * permissions and plans. Absent if everything was fetched at `fetchedAt`.
   */
  accountAt?: number;
  /** Ticket of the refresh that fetched roles, permissions and plans, if it is an earlier one than that of the record. */
  keptTicket?: number;
  /** Fencing token of the refresh that wrote the record: the highest one wins. */
  ticket: number;
  /** Fingerprint of the definitions that derived the flags. */
  schema: string;
}

/** Returns when account fields and properties of a record were fetched, in milliseconds since the epoch. */
export function accountTime({ accountAt, fetchedAt }: Pick<FlagsRecord, "accountAt" | "fetchedAt">): number {
  return typeof accountAt === "number" && accountAt > fetchedAt ? accountAt : fetchedAt;
}

/** How far the clocks of two machines differ in operation, in milliseconds. */
const maxSkewMs = 5_000;

/**
 * Returns the age of a fetch in milliseconds. A fetch far ahead of the clock comes from a clock that was wrong: what it is
 * ahead counts as its age, so that such a record does not look young until the clock is there.
 */
export function fetchAge(fetchedAt: number, now: number): number {
  const age = now - fetchedAt;
  return age < -maxSkewMs ? -age : Math.max(0, age);
}

/** Levels of arrays and objects that a flag's value can have. */
export const mostLevels = 100;

/** Those that a record adds around a value: itself, `organizations`, and an organization's entry. */
const levelsOfRecord = 3;

/**
 * Returns whether a value of JSON has at most so many levels of arrays and objects. Redis' scripts cannot decode more than
 * 1,000, and what copies, compares or writes values by recursion throws at a few thousand.
 */
export function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1));
}

/** Parses a record; returns `undefined` if the text is not a valid one, or nests deeper than any that is written today. */
export function parseFlagsRecord(text: string): FlagsRecord | undefined {
  let value: Partial<FlagsRecord> | null;
  try {
    value = JSON.parse(text) as Partial<FlagsRecord> | null;
  } catch {
    return undefined;
  }
  const valid =
    typeof value === "object" &&
    value !== null &&
    typeof value.flags === "object" &&
    value.flags !== null &&
    !Array.isArray(value.flags) &&
    (value.status === "present" || value.status === "deleted") &&
    isTime(value.fetchedAt) &&
    Number.isFinite(value.ticket) &&
    typeof value.schema === "string" &&
    isShallow(value, mostLevels + levelsOfRecord);
  return valid ? (value as FlagsRecord) : undefined;
}

/** The latest time that a `Date` can hold, in milliseconds since the epoch. */
const latest = 8.64e15;

// JSON can hold 1e999, which parses to Infinity: such a record would never grow old.
function isTime(value: unknown): boolean {
  return typeof value === "number" && Math.abs(value) <= latest;
}
