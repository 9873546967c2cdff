import type { TruthUser } from "../../packages/kinde-emulator/src/truth-types.ts";
import { type Comparable, expected as expectedByDefault } from "../support/comparison.ts";

/** Returns what Redis must contain for the user's state in Kinde: a tombstone if the user does not exist. */
export function expected(truth: TruthUser | undefined): Comparable {
  const { flags, ...rest } = expectedByDefault(truth);
  // A flag with a deny value, which is what a tombstone holds.
  return { ...rest, flags: { ...flags, banned: truth?.isSuspended ?? true } };
}
