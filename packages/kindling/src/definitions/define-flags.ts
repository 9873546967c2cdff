import { KindlingError } from "../errors.ts";
import type { ExtraPart, Profile } from "../profile.ts";
import { computed, withholdParts } from "./computed.ts";
import type { FlagDefinition } from "./definition.ts";
import { deriveInOrganizations, type OrganizationValues } from "./in-organizations.ts";

/** The argument of {@link defineFlags}: by flag name, a builder's definition or a pure function of the profile. */
export type FlagDeclarations = Readonly<Record<string, FlagDefinition<unknown> | ((profile: Profile) => unknown)>>;

/** The flag values that declarations produce. See {@link InferFlags} for the type of `defineFlags`' result. */
export type FlagValues<D extends FlagDeclarations> = {
  -readonly [Name in keyof D]: D[Name] extends FlagDefinition<infer T>
    ? T
    : D[Name] extends (profile: Profile) => infer T
      ? T
      : never;
};

/**
 * The type of the flag values that definitions produce.
 *
 * @example
 * ```ts
 * import type { InferFlags } from "kindling";
 * import type definitions from "./kindling.flags.js";
 *
 * type UserFlags = InferFlags<typeof definitions>;
 * // { onboarded: boolean; tier: "free" | "pro"; … }
 * ```
 */
export type InferFlags<D extends Definitions> = D["defaults"];

/** A stored value that does not fit its definition, so that the default is used. */
export interface Misfit {
  /** Name of the flag. */
  flag: string;
  /** What was found instead, in words for an operator. */
  reason: string;
}

/**
 * What {@link defineFlags} returns. Workers derive flags with it; app servers read them with it.
 *
 * @typeParam V Flag values by name
 */
export interface Definitions<V extends Record<string, unknown> = Record<string, unknown>> {
  /** Marks the object, so that another copy of this module recognizes it. */
  readonly kindling: "flags";
  /** Definitions by flag name. */
  readonly flags: Readonly<Record<string, FlagDefinition<unknown>>>;
  /** Fingerprint of the definitions, 12 hex digits: identifies records that other definitions produced. */
  readonly schema: string;
  /** The values readers answer with when there is no record. */
  readonly defaults: Readonly<V>;
  /** Parts of a profile that must be fetched for these flags. */
  readonly needs: ReadonlySet<ExtraPart>;
  /** Returns whether a change of that part can change a flag. Always true once a flag is a function. */
  mayNeed(part: ExtraPart): boolean;
  /**
   * Derives the flags of a profile. Pure.
   *
   * @param fetched Parts that were fetched. Default: all
   * @throws {PartMissing} A flag function read a part not in `fetched`
   */
  derive(profile: Profile, fetched?: ReadonlySet<ExtraPart>): DerivedFlags<V>;
}

/** The flags of a profile, as records hold them. */
export interface DerivedFlags<V> {
  /** Flags that depend on the current organization have their defaults here. */
  flags: V;
  /** Values by organization; absent if no flag depends on the current organization. */
  organizations?: OrganizationValues;
  misfits: Misfit[];
}

/**
 * Defines the flags of a product. Export the result by default from `kindling.flags.ts`: Kindling's workers load that
 * file and app servers import it, with types inferred end to end.
 *
 * A flag is a builder's definition ({@link property}, {@link organizationProperty}, {@link permission}, {@link role},
 * {@link plan}, {@link fresh}) or a pure, synchronous function of the {@link Profile}. A function's default is its answer for an empty profile.
 *
 * @throws {KindlingError} `flag_without_default` if a function throws, or returns a promise or what JSON cannot hold, for an empty
 * profile; `flag_malformed` if a flag is called `__proto__`
 *
 * @example
 * ```ts
 * import { defineFlags, permission, property } from "kindling";
 *
 * export default defineFlags({
 *   onboarded: property.boolean("onboarded", { default: false }),
 *   tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
 *   admin: permission("admin:access"),
 *   suspended: (profile) => profile.isSuspended,
 * });
 * ```
 */
export function defineFlags<const D extends FlagDeclarations>(declarations: D): Definitions<FlagValues<D>> {
  // Answers are plain objects, which cannot hold it.
  if (Object.hasOwn(declarations, "__proto__")) {
    throw new KindlingError("flag_malformed", 'A flag cannot be called "__proto__": give it another name.');
  }
  const flags = Object.fromEntries(
    Object.entries(declarations).map(([name, declared]) => [
      name,
      typeof declared === "function" ? computed(name, declared) : declared,
    ]),
  );
  const entries = Object.entries(flags);
  const valuesOf = (value: (definition: FlagDefinition<unknown>, name: string) => unknown) =>
    // Sound: the names are the declarations' own, and each definition yields its own type.
    Object.fromEntries(entries.map(([name, definition]) => [name, value(definition, name)])) as FlagValues<D>;
  const needs = new Set(entries.flatMap(([, definition]) => definition.needs));
  return {
    kindling: "flags",
    flags,
    schema: fingerprint(entries),
    defaults: Object.freeze(valuesOf((definition) => definition.fallback)),
    needs,
    mayNeed: (part) => needs.has(part) || entries.some(([, { opaque }]) => opaque),
    derive(profile, fetched) {
      const visible = fetched === undefined ? profile : withholdParts(profile, fetched);
      const misfits: Misfit[] = [];
      const values = valuesOf((definition, flag) => {
        const { value, misfit } = definition.read(visible);
        if (misfit !== undefined) misfits.push({ flag, reason: misfit });
        return value;
      });
      const organizations = deriveInOrganizations(flags, visible, (flag, reason) => misfits.push({ flag, reason }));
      return { flags: values, ...(organizations && { organizations }), misfits };
    },
  };
}

function fingerprint(entries: readonly (readonly [string, FlagDefinition<unknown>])[]): string {
  return hash(JSON.stringify(entries.map(([name, { source }]) => [name, source])));
}

/**
 * FNV-1a, 64 bits, cut to 12 hex digits. Not cryptographic: it only tells definitions apart, and unlike Web Crypto's
 * digest it is synchronous. http://www.isthe.com/chongo/tech/comp/fnv/
 */
function hash(text: string): string {
  let value = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text))
    value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
  return value.toString(16).padStart(16, "0").slice(-12);
}
