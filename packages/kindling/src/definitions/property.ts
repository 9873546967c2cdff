import type { FlagDefinition, Reading } from "./definition.ts";

type Parse<T> = (text: string) => T | undefined;

interface Kind<T> {
  name: string;
  parse: Parse<T>;
  accepts(value: unknown): boolean;
  /** Whether an empty string counts as "not set". */
  emptyIsUnset: boolean;
}

function define<T, D>(key: string, kind: Kind<T>, fallback: D): FlagDefinition<T | D> {
  const read = (text: string | null | undefined): Reading<T | D> => {
    if (text === null || text === undefined || (kind.emptyIsUnset && text.trim() === "")) return { value: fallback };
    const value = kind.parse(text);
    return value === undefined ? { value: fallback, misfit: `${JSON.stringify(text)} is not ${kind.name}` } : { value };
  };
  return {
    source: `property ${JSON.stringify(key)} as ${kind.name}, default ${JSON.stringify(fallback)}`,
    needs: [],
    fallback,
    read: ({ properties }) => read(Object.hasOwn(properties, key) ? properties[key] : undefined),
    accepts: (value) => kind.accepts(value) || value === fallback,
  };
}

const booleans: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["false", false],
]);

/**
 * A flag read from a property of the user. Kinde stores every property as text; a value that does not fit gives the
 * default, and shows as a misfit when the user is inspected. A missing or `null` property gives the default silently.
 */
export const property = {
  /** `"true"` or `"false"`, in any case. */
  boolean<D extends boolean | null>(key: string, { default: fallback }: { default: D }): FlagDefinition<boolean | D> {
    return define<boolean, D>(
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

  /** Any text, as it stands. */
  string<D extends string | null>(key: string, { default: fallback }: { default: D }): FlagDefinition<string | D> {
    return define<string, D>(
      key,
      { name: "text", parse: (text) => text, accepts: (value) => typeof value === "string", emptyIsUnset: false },
      fallback,
    );
  },

  /** A finite decimal number. */
  number<D extends number | null>(key: string, { default: fallback }: { default: D }): FlagDefinition<number | D> {
    return define<number, D>(
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

  /** One of the listed texts, exactly. */
  oneOf<const T extends string, const D extends NoInfer<T> | null>(
    key: string,
    values: readonly T[],
    { default: fallback }: { default: D },
  ): FlagDefinition<T | D> {
    const find = (text: unknown) => values.find((value) => value === text);
    return define<T, D>(
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
