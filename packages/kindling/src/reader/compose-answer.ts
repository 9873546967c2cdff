import { acceptValues, copy, copyDefaults } from "../definitions/accept-values.ts";
import { deriveFromClaims, issuedAt, organizationOf, type UserClaims } from "../definitions/claims.ts";
import type { Definitions } from "../definitions/define-flags.ts";
import { storedValue } from "../definitions/in-organizations.ts";
import { type FlagsRecord, fetchAge, parseFlagsRecord } from "../record.ts";
import { type FreshnessRules, freshnessRules } from "./freshness.ts";
import type { ReadResult, ReadStatus } from "./types.ts";

/** The outcome of a lookup. */
export interface Found {
  status: ReadStatus;
  /** Set with `present` and `deleted`. */
  record?: FlagsRecord;
}

/** Parses the value of a user's key. */
export function parseFound(text: string | null): Found {
  if (text === null) return { status: "missing" };
  const record = parseFlagsRecord(text);
  return record === undefined ? { status: "invalid" } : { status: record.status, record };
}

/** What the definitions say about every answer. */
export interface AnswerRules extends FreshnessRules {
  /** Whether a flag depends on the current organization. */
  perOrganization: boolean;
}

/** Collects the rules; `softAge` is the reader's own. */
export function answerRules(definitions: Definitions, softAge: number): AnswerRules {
  const perOrganization = Object.values(definitions.flags).some(({ in: where }) => where === "current");
  return { ...freshnessRules(definitions, softAge), perOrganization };
}

/** What a read says about its caller. */
export interface Request {
  claims: UserClaims | undefined;
  /** The current organization. */
  organization: string | undefined;
}

/** Returns the organization of a read. What is not a code, such as an array from a query string, counts as none. */
export function currentOrganization(given: unknown, claims: UserClaims | undefined): string | undefined {
  if (given === undefined) return organizationOf(claims);
  return typeof given === "string" && given !== "" ? given : undefined;
}

/** Composes the answer to a lookup at the time `now`. */
export function composeAnswer<V extends Record<string, unknown>>(
  definitions: Definitions<V>,
  { denials, perOrganization }: AnswerRules,
  { status, record }: Found,
  { claims, organization }: Request,
  now: number,
): ReadResult<V> {
  const fetchedAt = record?.fetchedAt ?? null;
  const age = fetchedAt === null ? null : fetchAge(fetchedAt, now);
  const shared = { status, fetchedAt, age, ...(perOrganization && { organization: organization ?? null }) };
  // A deletion is final: neither a token that is still valid nor the age of the tombstone changes it.
  if (status === "deleted") {
    const values = copyDefaults(definitions);
    return { flags: values, ...shared, source: "defaults", denied: deny(values, denials, () => null) };
  }
  if (record !== undefined) {
    const values = acceptValues(definitions, record, organization);
    const ageOf = (name: string) => (isDerived(definitions, record, name, organization) ? age : null);
    return { flags: values, ...shared, source: "record", denied: deny(values, denials, ageOf) };
  }
  const determined: Partial<V> = claims === undefined ? {} : deriveFromClaims(definitions, claims, organization);
  const values = { ...copyDefaults(definitions), ...determined };
  const claimsAge = fetchAge(issuedAt(claims), now);
  const denied = deny(values, denials, (name) => (Object.hasOwn(determined, name) ? claimsAge : null));
  return { flags: values, ...shared, source: claims === undefined ? "defaults" : "claims", denied };
}

/** Answers for a caller nobody knows: defaults, except that flags with a deny rule have its `value`. */
export function answerWithoutUser<V extends Record<string, unknown>>(
  definitions: Definitions<V>,
  status: ReadStatus = "missing",
): ReadResult<V> {
  const rules = answerRules(definitions, Number.POSITIVE_INFINITY);
  return composeAnswer(definitions, rules, { status }, { claims: undefined, organization: undefined }, 0);
}

/** Returns whether the claims are newer than the record and disagree with it about a flag they determine. */
export function contradicts<V extends Record<string, unknown>>(
  definitions: Definitions<V>,
  record: FlagsRecord,
  claims: UserClaims,
): boolean {
  if (issuedAt(claims) <= record.fetchedAt) return false;
  const organization = organizationOf(claims);
  const values = acceptValues(definitions, record, organization);
  return Object.entries(deriveFromClaims(definitions, claims, organization)).some(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(values[name]),
  );
}

/** Returns whether the record holds a value of this flag: one written by older definitions may lack it. */
function isDerived({ flags }: Definitions, record: FlagsRecord, name: string, organization?: string): boolean {
  const definition = flags[name];
  const value = definition === undefined ? undefined : storedValue(definition, name, record, organization);
  return value !== undefined && definition?.accepts(value) === true;
}

/** Replaces each flag whose own value is unknown (`null`) or too old. */
function deny(
  values: Record<string, unknown>,
  denials: FreshnessRules["denials"],
  ageOf: (name: string) => number | null,
): string[] {
  return denials.flatMap(({ name, maxAge, value }) => {
    const age = ageOf(name);
    if (age !== null && age <= maxAge) return [];
    values[name] = copy(value);
    return [name];
  });
}
