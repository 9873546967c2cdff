import type { ExtraPart, Profile } from "../profile.ts";
import { computed, withholdParts } from "./computed.ts";
import type { FlagDefinition } from "./definition.ts";

/** What stands in the flags file: definitions, or pure functions of the profile. */
export type FlagDeclarations = Readonly<Record<string, FlagDefinition<unknown> | ((profile: Profile) => unknown)>>;

/** The values app servers get, inferred from the declarations. */
export type FlagValues<D extends FlagDeclarations> = {
  -readonly [Name in keyof D]: D[Name] extends FlagDefinition<infer T>
    ? T
    : D[Name] extends (profile: Profile) => infer T
      ? T
      : never;
};

/**
 * The values of some definitions.
 *
 * @example
 * ```ts
 * import definitions from "./kindling.flags.js";
 *
 * type UserFlags = InferFlags<typeof definitions>;
 * ```
 */
export type InferFlags<D extends Definitions> = D["defaults"];

/** A value that did not fit its definition, so that the default stands in. */
export interface Misfit {
  flag: string;
  reason: string;
}

/** All flags of a product: one object for workers, which derive, and for app servers, which read. */
export interface Definitions<V extends Record<string, unknown> = Record<string, unknown>> {
  readonly kindling: "flags";
  readonly flags: Readonly<Record<string, FlagDefinition<unknown>>>;
  /** Fingerprint of the definitions, 12 hex digits: a record made by others is told by it. */
  readonly schema: string;
  /** What readers answer when there is no record. */
  readonly defaults: Readonly<V>;
  /** Parts of a profile that must be fetched for these flags. */
  readonly needs: ReadonlySet<ExtraPart>;
  /** Whether a change of that part can change a flag, as far as the declarations tell. */
  mayNeed(part: ExtraPart): boolean;
  /**
   * The flags of a profile. Pure.
   *
   * @param fetched parts that were asked for; default: all
   * @throws {PartMissing} when a flag function looks at a part not in `fetched`
   */
  derive(profile: Profile, fetched?: ReadonlySet<ExtraPart>): { flags: V; misfits: Misfit[] };
}

/**
 * Declares the flags of a product. Types are inferred end to end:
 *
 * ```ts
 * export default defineFlags({
 *   onboarded: property.boolean("onboarded", { default: false }),
 *   admin: permission("admin:access"),
 *   suspended: (profile) => profile.isSuspended,
 * });
 * ```
 *
 * @throws {KindlingError} `flag_without_default` when a function cannot answer for an unknown user
 */
export function defineFlags<const D extends FlagDeclarations>(declarations: D): Definitions<FlagValues<D>> {
  const definitions = Object.fromEntries(
    Object.entries(declarations).map(([name, declared]) => [
      name,
      typeof declared === "function" ? computed(name, declared) : declared,
    ]),
  );
  const entries = Object.entries(definitions);
  const valuesOf = (value: (definition: FlagDefinition<unknown>, name: string) => unknown) =>
    // The names are the declarations' own, and each definition yields its own type.
    Object.fromEntries(entries.map(([name, definition]) => [name, value(definition, name)])) as FlagValues<D>;
  const needs = new Set(entries.flatMap(([, definition]) => definition.needs));
  return {
    kindling: "flags",
    flags: definitions,
    schema: fingerprint(entries),
    defaults: Object.freeze(valuesOf((definition) => definition.fallback)),
    needs,
    mayNeed: (part) => needs.has(part) || entries.some(([, { opaque }]) => opaque),
    derive(profile, fetched) {
      const seen = fetched === undefined ? profile : withholdParts(profile, fetched);
      const misfits: Misfit[] = [];
      const flags = valuesOf((definition, flag) => {
        const { value, misfit } = definition.read(seen);
        if (misfit !== undefined) misfits.push({ flag, reason: misfit });
        return value;
      });
      return { flags, misfits };
    },
  };
}

function fingerprint(entries: readonly (readonly [string, FlagDefinition<unknown>])[]): string {
  return hash(JSON.stringify(entries.map(([name, { source }]) => [name, source])));
}

/**
 * FNV-1a, 64 bits, of which 12 hex digits are kept: definitions are told apart, not protected, and this runs in browsers
 * and at the edge without an asynchronous digest. http://www.isthe.com/chongo/tech/comp/fnv/
 */
function hash(text: string): string {
  let value = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text))
    value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
  return value.toString(16).padStart(16, "0").slice(-12);
}
