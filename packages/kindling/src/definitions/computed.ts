import { KindlingError } from "../errors.ts";
import { blankProfile, type ExtraPart, type Profile } from "../profile.ts";
import type { FlagDefinition, Freshness } from "./definition.ts";

const partMissingCode = "profile_part_missing";

/** A flag function looked at a part of the profile that is not known: fetch it, and derive again. */
export class PartMissing<Part extends string = ExtraPart> extends KindlingError<"profile_part_missing"> {
  readonly part: Part;

  constructor(part: Part) {
    super(partMissingCode, `A flag needs the user's ${part}, which is not known yet.`);
    this.part = part;
  }
}

/** Told by its code and not by `instanceof`: a flags file may have been given another copy of this module. */
export function isPartMissing(error: unknown): error is PartMissing {
  return error instanceof Error && "code" in error && error.code === partMissingCode;
}

/**
 * The profile with traps in place of the parts that were not fetched, so that a flag function can never take "not
 * asked" for "has none".
 */
export function withholdParts(profile: Profile, fetched: ReadonlySet<ExtraPart>): Profile {
  const trap = (part: ExtraPart) => (): never => {
    throw new PartMissing(part);
  };
  const guard = <T extends object>(target: T, property: keyof T, part: ExtraPart): T =>
    fetched.has(part) ? target : Object.defineProperty(target, property, { get: trap(part), enumerable: true });
  return {
    ...profile,
    organizations: profile.organizations.map((membership) =>
      guard(guard({ ...membership }, "roles", "roles"), "permissions", "permissions"),
    ),
    billing: guard({ ...profile.billing }, "agreements", "billing"),
  };
}

/** A flag that is any pure function of the profile. Its default is its answer for a user of whom nothing is known. */
export function computed<T>(name: string, derive: (profile: Profile) => T): FlagDefinition<T> {
  const fallback = defaultOf(name, derive);
  return {
    // The source of the function stands in the fingerprint: another function is another definition.
    source: `function ${derive.toString()}`,
    needs: [],
    opaque: true,
    fallback,
    read(profile) {
      try {
        return { value: derive(profile) };
      } catch (error) {
        if (isPartMissing(error)) throw error;
        return { value: fallback, misfit: "the function threw" };
      }
    },
    accepts: (value) => fallback === null || fallback === undefined || kindOf(value) === kindOf(fallback),
  };
}

/**
 * A flag that must not be older than `maxAge` when an app server acts on it.
 *
 * ```ts
 * suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
 * ```
 */
export function fresh<T>(
  flag: FlagDefinition<T> | ((profile: Profile) => T),
  freshness: Freshness<T>,
): FlagDefinition<T> {
  const definition = typeof flag === "function" ? computed(flag.toString(), flag) : flag;
  return { ...definition, freshness };
}

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
}

function defaultOf<T>(name: string, derive: (profile: Profile) => T): T {
  try {
    const fallback = derive(blankProfile());
    if (fallback instanceof Promise) {
      fallback.catch(() => undefined);
      throw new TypeError("it returns a promise");
    }
    return fallback;
  } catch (cause) {
    throw new KindlingError(
      "flag_without_default",
      `Flag "${name}" throws, or returns a promise, for a user of whom nothing is known: let it return its default then.`,
      { cause },
    );
  }
}
