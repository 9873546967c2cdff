import { acceptValues, copyDefaults } from "../definitions/accept-values.ts";
import { flagsOfClaims, type UserClaims } from "../definitions/claims.ts";
import type { Definitions } from "../definitions/define-flags.ts";
import { type FlagsRecord, parseFlagsRecord } from "../record.ts";
import type { Freshness } from "./freshness.ts";
import type { ReadResult, ReadStatus } from "./types.ts";

/** What a lookup has found. */
export interface Found {
  status: ReadStatus;
  /** With `present` and `deleted`. */
  record?: FlagsRecord;
}

/** What stands under a user's key. */
export function parseFound(text: string | null): Found {
  if (text === null) return { status: "missing" };
  const record = parseFlagsRecord(text);
  return record === undefined ? { status: "invalid" } : { status: record.status, record };
}

/** The answer to what was found at `now`. */
export function composeAnswer<V extends Record<string, unknown>>(
  flags: Definitions<V>,
  { denials }: Freshness,
  { status, record }: Found,
  claims: UserClaims | undefined,
  now: number,
): ReadResult<V> {
  const fetchedAt = record?.fetchedAt ?? null;
  const age = fetchedAt === null ? null : Math.max(0, now - fetchedAt);
  const shared = { status, fetchedAt, age };
  // Deleted stays deleted: no token that still lives tells otherwise, and no age makes it less true.
  if (status === "deleted") return { flags: copyDefaults(flags), ...shared, source: "defaults", denied: [] };
  if (record !== undefined) {
    const values = acceptValues(flags, record.flags);
    return { flags: values, ...shared, source: "record", denied: deny(values, denials, () => age) };
  }
  const known: Partial<V> = claims === undefined ? {} : flagsOfClaims(flags, claims);
  const values = { ...copyDefaults(flags), ...known };
  const issuedAgo = Math.max(0, now - issuedAt(claims));
  const denied = deny(values, denials, (name) => (Object.hasOwn(known, name) ? issuedAgo : null));
  return { flags: values, ...shared, source: claims === undefined ? "defaults" : "claims", denied };
}

/** Whether the claims are newer than the record, and a flag they determine has another value there. */
export function contradicts<V extends Record<string, unknown>>(
  flags: Definitions<V>,
  record: FlagsRecord,
  claims: UserClaims,
): boolean {
  if (issuedAt(claims) <= record.fetchedAt) return false;
  const values = acceptValues(flags, record.flags);
  return Object.entries(flagsOfClaims(flags, claims)).some(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(values[name]),
  );
}

/** When the claims were issued, milliseconds since the epoch; claims that do not say so are older than anything. */
export function issuedAt(claims: UserClaims | undefined): number {
  return claims?.iat === undefined ? Number.NEGATIVE_INFINITY : claims.iat * 1000;
}

function deny(
  values: Record<string, unknown>,
  denials: Freshness["denials"],
  ageOf: (name: string) => number | null,
): string[] {
  return denials.flatMap(({ name, maxAge, value }) => {
    const age = ageOf(name);
    if (age !== null && age <= maxAge) return [];
    values[name] = value;
    return [name];
  });
}
