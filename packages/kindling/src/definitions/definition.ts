import type { ExtraPart, Profile } from "../profile.ts";

/** A flag's value as derived from one profile, and why the default stands in where it does. */
export interface Reading<T> {
  value: T;
  /** What was found instead of a fitting value, in words for an operator. */
  misfit?: string;
}

/** How old a flag may be, and what a reader does when it is older. */
export type Freshness<T> = {
  /** Milliseconds since the start of the fetch it stems from. */
  maxAge: number;
} & (
  | {
      /**
       * - `serve`: answer it all the same, and have the user refreshed in the background.
       * - `refresh`: have the user refreshed and wait for it, as long as the reader waits; then answer what there is.
       */
      whenOlder: "serve" | "refresh";
    }
  | {
      /** As `refresh`, but answer `value` where the wait was in vain: fail closed. */
      whenOlder: "deny";
      value: NoInfer<T>;
    }
);

/** One flag: how it is derived from a profile and recognised in a record. */
export interface FlagDefinition<T> {
  /** Where the value comes from, in words: `property "plan_tier"`. Part of the fingerprint. */
  readonly source: string;
  /** Parts of a profile it cannot do without, beyond account, properties and organizations. */
  readonly needs: readonly ExtraPart[];
  /** Whether it may turn out to need other parts too, as a function can. */
  readonly opaque?: true;
  /** The value when there is no record. */
  readonly fallback: T;
  /** How old it may be; absent: any age. No part of the fingerprint, as it changes no record. */
  readonly freshness?: Freshness<T>;
  read(profile: Profile): Reading<T>;
  /** Whether a value found in a record can be this flag's. */
  accepts(value: unknown): boolean;
}
