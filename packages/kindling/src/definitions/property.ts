import type { ExtraPart, Membership, Profile } from "../profile.ts";
import type { FlagDefinition, Reading } from "./definition.ts";
import { membershipIn } from "./in-organizations.ts";

type Parse<T> = (text: string) => T | undefined;

interface Kind<T> {
  name: string;
  parse: Parse<T>;
  accepts(value: unknown): boolean;
  /** Whether blank text counts as "not set". */
  emptyIsUnset: boolean;
}

/** Where property values come from: the user, or the current organization. */
interface Owner {
  /** Prefix of the definition's source. */
  prefix: string;
  needs: readonly ExtraPart[];
  in?: "current";
  propertiesOf(profile: Profile, organization: string | undefined): Membership["properties"];
}

const user: Owner = { prefix: "", needs: [], propertiesOf: ({ properties }) => properties };
const currentOrganization: Owner = {
  prefix: "organization ",
  needs: ["organizationProperties"],
  in: "current",
  propertiesOf: (profile, organization) => membershipIn(profile, organization)?.properties,
};

/** Characters of a value that a misfit quotes. */
const mostQuoted = 100;

function quote(text: string): string {
  return text.length > mostQuoted ? `${JSON.stringify(text.slice(0, mostQuoted))}…` : JSON.stringify(text);
}

function define<T, D>(owner: Owner, key: string, kind: Kind<T>, fallback: D): FlagDefinition<T | D> {
  const read = (text: string | null | undefined): Reading<T | D> => {
    if (text === null || text === undefined || (kind.emptyIsUnset && text.trim() === "")) return { value: fallback };
    const value = kind.parse(text);
    return value === undefined ? { value: fallback, misfit: `${quote(text)} is not ${kind.name}` } : { value };
  };
  return {
    source: `${owner.prefix}property ${JSON.stringify(key)} as ${kind.name}, default ${JSON.stringify(fallback)}`,
    needs: owner.needs,
    fallback,
    ...(owner.in && { in: owner.in }),
    read(profile, organization) {
      const properties = owner.propertiesOf(profile, organization);
      return read(properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined);
    },
    accepts: (value) => kind.accepts(value) || value === fallback,
  };
}

const booleans: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["false", false],
]);

/** The builders of {@link property} and {@link organizationProperty}: one for each type of value. */
export interface PropertyBuilders {
  /**
   * Accepts `true` or `false` in any case, with surrounding space. Blank text counts as not set.
   *
   * @param key The property's key in Kinde
   *
   * @example
   * ```ts
   * property.boolean("onboarded", { default: false }); // boolean
   * ```
   */
  boolean<D extends boolean | null>(key: string, options: { default: D }): FlagDefinition<boolean | D>;

  /**
   * Accepts any text unchanged, including the empty string.
   *
   * @param key The property's key in Kinde
   *
   * @example
   * ```ts
   * property.string("compliance_region", { default: null }); // string | null
   * ```
   */
  string<D extends string | null>(key: string, options: { default: D }): FlagDefinition<string | D>;

  /**
   * Accepts a finite number as `Number()` parses it: `12`, `-1.5e3`. Blank text counts as not set.
   *
   * @param key The property's key in Kinde
   *
   * @example
   * ```ts
   * property.number("seats", { default: 1 }); // number
   * ```
   */
  number<D extends number | null>(key: string, options: { default: D }): FlagDefinition<number | D>;

  /**
   * Accepts exactly one of the listed texts. Blank text counts as not set.
   *
   * @param key The property's key in Kinde
   * @param values The texts allowed
   *
   * @example
   * ```ts
   * property.oneOf("plan_tier", ["free", "pro"], { default: "free" }); // "free" | "pro"
   * ```
   */
  oneOf<const T extends string, const D extends NoInfer<T> | null>(
    key: string,
    values: readonly T[],
    options: { default: D },
  ): FlagDefinition<T | D>;
}

function createBuilders(owner: Owner): PropertyBuilders {
  return {
    boolean<D extends boolean | null>(key: string, { default: fallback }: { default: D }): FlagDefinition<boolean | D> {
      return define<boolean, D>(
        owner,
        key,
        {
          name: "true or false",
          parse: (text) => booleans.get(text.trim().toLowerCase()),
          accepts: (value) => typeof value === "boolean",
          emptyIsUnset: true,
        },
        fallback,
      );
    },
    string<D extends string | null>(key: string, { default: fallback }: { default: D }): FlagDefinition<string | D> {
      return define<string, D>(
        owner,
        key,
        { name: "text", parse: (text) => text, accepts: (value) => typeof value === "string", emptyIsUnset: false },
        fallback,
      );
    },
    number<D extends number | null>(key: string, { default: fallback }: { default: D }): FlagDefinition<number | D> {
      return define<number, D>(
        owner,
        key,
        {
          name: "a number",
          parse: (text) => (Number.isFinite(Number(text)) ? Number(text) : undefined),
          accepts: (value) => typeof value === "number",
          emptyIsUnset: true,
        },
        fallback,
      );
    },
    oneOf<const T extends string, const D extends NoInfer<T> | null>(
      key: string,
      values: readonly T[],
      { default: fallback }: { default: D },
    ): FlagDefinition<T | D> {
      const find = (text: unknown) => values.find((value) => value === text);
      return define<T, D>(
        owner,
        key,
        {
          name: `one of ${values.join(", ")}`,
          parse: find,
          accepts: (value) => find(value) !== undefined,
          emptyIsUnset: true,
        },
        fallback,
      );
    },
  };
}

/**
 * Builders of flags that read a property of the user. Kinde stores every property as text, booleans as `"true"` and
 * `"false"` (https://docs.kinde.com/properties/work-with-properties/manage-properties/).
 *
 * A missing or `null` property gives the default. So does text that does not fit, which is also reported as a misfit
 * when an operator inspects the user. A default of `null` widens the flag's type by `null`.
 *
 * @example
 * ```ts
 * import { defineFlags, property } from "kindling";
 *
 * export default defineFlags({
 *   onboarded: property.boolean("onboarded", { default: false }), // boolean
 *   seats: property.number("seats", { default: 1 }), // number
 *   region: property.string("compliance_region", { default: null }), // string | null
 *   tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }), // "free" | "pro"
 * });
 * ```
 */
export const property: PropertyBuilders = /* @__PURE__ */ createBuilders(user);

/**
 * Builders like {@link property}, for properties of the current organization: the `organization` of {@link ReadOptions},
 * or the `org_code` of its `claims`. Without one, and in an organization the user is not in, the flag has its default.
 *
 * The service fetches an organization's properties once for all members: they can be older than the record's `fetchedAt`
 * by its setting `KINDLING_ORGANIZATION_MAX_AGE`, except where a flag is limited by {@link fresh}.
 *
 * @example
 * ```ts
 * import { defineFlags, organizationProperty } from "kindling";
 *
 * export default defineFlags({
 *   seats: organizationProperty.number("seats", { default: 1 }), // number
 *   region: organizationProperty.oneOf("region", ["eu", "us"], { default: null }), // "eu" | "us" | null
 * });
 * ```
 */
export const organizationProperty: PropertyBuilders = /* @__PURE__ */ createBuilders(currentOrganization);
