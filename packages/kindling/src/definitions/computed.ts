import { KindlingError } from "../errors.ts";
import { blankProfile, type ExtraPart, type Membership, type Profile } from "../profile.ts";
import { isShallow, mostLevels } from "../record.ts";
import type { FlagDefinition, Freshness } from "./definition.ts";

const partMissingCode = "profile_part_missing";

/** Thrown when a flag function reads a part of the profile that was not fetched: fetch it, then derive again. */
export class PartMissing<Part extends string = ExtraPart> extends KindlingError<"profile_part_missing"> {
  readonly part: Part;

  constructor(part: Part) {
    super(partMissingCode, `A flag reads the user's ${part}, which has not been fetched.`);
    this.part = part;
  }
}

/** Returns whether an error is {@link PartMissing}. Compares codes: the flags file can load its own copy of this module. */
export function isPartMissing(error: unknown): error is PartMissing {
  return error instanceof Error && "code" in error && error.code === partMissingCode;
}

/**
 * Returns a copy of the profile with a throwing getter for each part that was not fetched. A flag function can then never
 * mistake "not fetched" for "has none".
 */
export function withholdParts(profile: Profile, fetched: ReadonlySet<ExtraPart>): Profile {
  const withheld = membershipTraps.filter(({ part }) => !fetched.has(part));
  const guard = (membership: Membership) => {
    const copy = { ...membership };
    for (const { member, trap } of withheld) Object.defineProperty(copy, member, trap);
    return copy;
  };
  const billing = { ...profile.billing };
  if (!fetched.has("billing")) Object.defineProperty(billing, "agreements", billingTrap);
  return { ...profile, organizations: profile.organizations.map(guard), billing };
}

// Shared by all profiles: a getter of its own would cost every copy its fast properties.
const billingTrap = trapOf("billing");
const membershipTraps = [
  { member: "roles", part: "roles", trap: trapOf("roles") },
  { member: "permissions", part: "permissions", trap: trapOf("permissions") },
  // Hidden from spreads and JSON: a function that copies memberships does not ask for these parts.
  { member: "properties", part: "organizationProperties", trap: hidden(trapOf("organizationProperties")) },
  { member: "agreements", part: "organizationAgreements", trap: hidden(trapOf("organizationAgreements")) },
] as const satisfies readonly { member: keyof Membership; part: ExtraPart; trap: PropertyDescriptor }[];

function trapOf(part: ExtraPart): PropertyDescriptor {
  return {
    enumerable: true,
    get(): never {
      throw new PartMissing(part);
    },
  };
}

function hidden(trap: PropertyDescriptor): PropertyDescriptor {
  return { ...trap, enumerable: false };
}

/** Defines a flag by a pure function of the profile. Its default is the function's answer for an unknown user. */
export function computed<T>(name: string, derive: (profile: Profile) => T): FlagDefinition<T> {
  const fallback = defaultOf(name, derive);
  return {
    // The function's source is part of the fingerprint: a changed function is a changed definition.
    source: `function ${derive.toString()}`,
    needs: [],
    opaque: true,
    fallback,
    read(profile) {
      try {
        const value = derive(profile);
        const misfit = problemOf(value);
        return misfit === undefined ? { value } : { value: fallback, misfit };
      } catch (error) {
        if (isPartMissing(error)) throw error;
        return { value: fallback, misfit: "the function threw" };
      }
    },
    accepts: (value) => fallback === null || fallback === undefined || kindOf(value) === kindOf(fallback),
  };
}

/**
 * Limits how old a flag can be when an app server acts on it. Reading an older one always requests a refresh;
 * `whenOlder` decides what the reader answers:
 *
 * - `"serve"`: the old value, at once.
 * - `"refresh"`: waits for the refresh, up to the reader's `wait` (1 s by default), then answers with what there is.
 * - `"deny"`: waits likewise; if the record is still too old or missing, answers `value` and lists the flag in `denied`. A
 *   record holds `value`, too, where the flag's own does not fit, or its function throws.
 *
 * A reader without `wait` time left, without the `ZADD` or `SUBSCRIBE` permission, or with a Redis client that has no
 * `duplicate` does not wait.
 *
 * @param flag A definition, or a function of the profile as in {@link defineFlags}
 * @param freshness `maxAge` in milliseconds, `whenOlder`, and for `"deny"` the `value` to answer
 * @throws {KindlingError} `flag_without_default` if a function throws, or returns a promise or what JSON cannot hold, for an unknown user;
 * `flag_malformed` if `freshness` is not of its type, or `value` is one that the flag cannot have
 *
 * @example
 * ```ts
 * import { defineFlags, fresh } from "kindling";
 *
 * export default defineFlags({
 *   suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
 * });
 * ```
 */
export function fresh<T>(
  flag: FlagDefinition<T> | ((profile: Profile) => T),
  freshness: Freshness<T>,
): FlagDefinition<T> {
  const definition = typeof flag === "function" ? computed(flag.toString(), flag) : flag;
  checkFreshness(definition, freshness);
  if (freshness.whenOlder !== "deny") return { ...definition, freshness };
  const value = plain(freshness.value);
  return {
    ...definition,
    freshness: { ...freshness, value },
    read(profile, organization) {
      const reading = definition.read(profile, organization);
      return reading.misfit === undefined ? reading : { ...reading, value };
    },
  };
}

// JavaScript does not check the types, and a misspelled "deny", or one without a value, must not fail open.
function checkFreshness<T>({ source, accepts }: FlagDefinition<T>, freshness: Freshness<T>): void {
  const { maxAge, whenOlder, value }: { maxAge: number; whenOlder: string; value?: unknown } = freshness;
  const problem =
    typeof maxAge !== "number" || !(maxAge >= 0)
      ? "maxAge must be a number of milliseconds"
      : !["serve", "refresh", "deny"].includes(whenOlder)
        ? 'whenOlder must be "serve", "refresh" or "deny"'
        : whenOlder === "deny" && (value === undefined || !accepts(value) || problemOf(value) !== undefined)
          ? 'with "deny", value must be one that the flag can have'
          : undefined;
  if (problem !== undefined)
    throw new KindlingError("flag_malformed", `The freshness of the flag of ${source.slice(0, 100)}: ${problem}.`);
}

/**
 * Returns why a record cannot hold a function's value; `undefined` if it can. Unnoticed, the value for one user would fail
 * the page of a sweep, and a promise that rejects would end the process.
 */
function problemOf(value: unknown): string | undefined {
  if (value instanceof Promise) {
    value.catch(() => undefined);
    return "the function returned a promise";
  }
  if (value === undefined) return undefined;
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    if (isPartMissing(error)) throw error;
  }
  if (text === undefined) return "the function returned a value that JSON cannot hold";
  const isDeep = typeof value === "object" && !isShallow(JSON.parse(text), mostLevels);
  return isDeep ? `the function returned a value of more than ${mostLevels} levels` : undefined;
}

/** Returns an object as a record would hold it: readers copy defaults and deny values, and functions cannot be copied. */
function plain<T>(value: T): T {
  return typeof value === "object" && value !== null ? JSON.parse(JSON.stringify(value)) : value;
}

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function defaultOf<T>(name: string, derive: (profile: Profile) => T): T {
  try {
    const fallback = derive(blankProfile());
    const problem = problemOf(fallback);
    if (problem !== undefined) throw new TypeError(problem);
    return plain(fallback);
  } catch (cause) {
    throw new KindlingError(
      "flag_without_default",
      `Flag "${name}" throws, or returns a promise or what JSON cannot hold, for an unknown user: make it return its default for an empty profile.`,
      { cause },
    );
  }
}
