import type { Flags } from "kindling";
import {
  extraParts,
  type FlagDefinition,
  PartMissing,
  type Profile,
  type ProfilePart,
  withholdParts,
} from "kindling/contract";
import type { StoredRecord } from "../redis/records.ts";

/** One flag of a user. */
export interface FlagView {
  name: string;
  /** In the record; absent when the record does not have it. */
  value?: unknown;
  /** Where it comes from; `null` for one that is not declared any more. */
  source: string | null;
  /** What was found instead of a fitting value, so that the default stands in. */
  misfit: string | null;
}

/** The flags of a record beside their definitions. Misfits come from deriving again from the stored profile. */
export function viewFlags({ flags: record, profile }: StoredRecord, flags: Flags, keep: ReadonlySet<ProfilePart>) {
  const values = record?.flags ?? {};
  const seen =
    profile === undefined ? undefined : withholdParts(profile, new Set(extraParts.filter((p) => keep.has(p))));
  const declared = Object.entries(flags.flags).map(
    ([name, definition]): FlagView => ({
      name,
      ...(name in values && { value: values[name] }),
      source: definition.source.replace(/\s+/g, " "),
      misfit: seen === undefined ? null : misfitOf(definition, seen),
    }),
  );
  const undeclared = Object.entries(values)
    .filter(([name]) => !(name in flags.flags))
    .map(([name, value]): FlagView => ({ name, value, source: null, misfit: null }));
  return [...declared, ...undeclared];
}

function misfitOf(definition: FlagDefinition<unknown>, profile: Profile): string | null {
  try {
    return definition.read(profile).misfit ?? null;
  } catch (error) {
    // The settings do not keep what this flag is derived from, so nothing can be said.
    if (error instanceof PartMissing) return null;
    throw error;
  }
}
