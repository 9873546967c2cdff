import type { ExtraPart, Profile } from "../profile.ts";

/** A flag's value as derived from one profile. */
export interface Reading<T> {
  value: T;
  /** Why the default, or a deny value, was used instead of the stored value, in words for an operator. */
  misfit?: string;
}

/**
 * How old a flag can be, and what a reader does when it is older. The second argument of {@link fresh}.
 *
 * @example
 * ```ts
 * import type { Freshness } from "kindling";
 *
 * const failClosed: Freshness<boolean> = { maxAge: 60_000, whenOlder: "deny", value: true };
 * ```
 */
export type Freshness<T> = {
  /** Milliseconds since the start of the fetch that the flag comes from. */
  maxAge: number;
} & (
  | {
      /**
       * - `serve`: answer with the old value at once and request a refresh in the background.
       * - `refresh`: request a refresh and wait for it, up to the reader's `wait`, then answer with what there is.
       */
      whenOlder: "serve" | "refresh";
    }
  | {
      /** Like `refresh`, but answer `value` if no refresh arrives in time: fail closed. */
      whenOlder: "deny";
      value: NoInfer<T>;
    }
);

/** One flag: how it is derived from a profile and recognized in a record. The builders create these. */
export interface FlagDefinition<T> {
  /** Where the value comes from, in words: `property "plan_tier" as …`. Part of the fingerprint. */
  readonly source: string;
  /** Parts of a profile that must be fetched for it, beyond account, properties and organizations. */
  readonly needs: readonly ExtraPart[];
  /** Keys of the permissions it depends on, if it needs `permissions`. Absent: it can depend on any. */
  readonly permissions?: readonly string[];
  /** Set if it can need other parts too, as a function can. */
  readonly opaque?: true;
  /** The value when there is no record. */
  readonly fallback: T;
  /** Default: any age. Not part of the fingerprint, because it does not change records. */
  readonly freshness?: Freshness<T>;
  /** Set if the value belongs to the organization of the request. Without one, `read` answers the fallback. */
  readonly in?: "current";
  /** @param organization Code of the organization to read for; matters only to flags with `in` */
  read(profile: Profile, organization?: string): Reading<T>;
  /** Returns whether a value found in a record is valid for this flag. */
  accepts(value: unknown): boolean;
}
