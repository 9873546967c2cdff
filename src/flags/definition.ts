import type { ExtraPart, Profile } from "../kinde/profile.ts";

/** A flag's value as derived from one profile, and why the default stands in where it does. */
export interface Reading<T> {
  value: T;
  /** What was found instead of a fitting value, in words for an operator. */
  misfit?: string;
}

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
  read(profile: Profile): Reading<T>;
  /** Whether a value found in a record can be this flag's. */
  accepts(value: unknown): boolean;
}
