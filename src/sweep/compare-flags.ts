import { isDeepStrictEqual } from "node:util";
import type { Definitions } from "kindling";
import {
  blankProfile,
  deriveInOrganizations,
  extraParts,
  type FlagsRecord,
  isPartMissing,
  PartMissing,
  type Profile,
  type ProfilePart,
  storedValue,
  withholdParts,
} from "kindling/contract";
import { heldParts, withoutHeldPart } from "../kinde/keep-parts.ts";
import type { SearchedUser } from "../kinde/search-users.ts";

/** Flag values as a record holds them. */
type Values = FlagsRecord["flags"];

/** The members of a record that are derived. */
export type DerivedValues = Pick<FlagsRecord, "flags" | "organizations">;

/** Result of {@link compareFlags}. */
export type FlagsComparison =
  | { verdict: "same" }
  /** The stored profile alone gives other values: the definitions changed, or a function reads the clock. */
  | ({ verdict: "derived" } & DerivedValues)
  /** Only a fetch can tell. `field` names the flag. */
  | { verdict: "different"; field: string };

/**
 * Compares a record's flags with those that the current definitions derive. The fingerprint alone is not enough: it
 * covers the text of a flag's function, not the constants and helpers that the function refers to.
 *
 * Uses the stored profile, which agrees with the page. Flags that read a part the profile does not hold are derived from
 * the page as far as it shows that part.
 */
export function compareFlags(
  definitions: Definitions,
  record: FlagsRecord,
  profile: Profile,
  searched: SearchedUser,
): FlagsComparison {
  const stored = withholdUnkept(profile);
  const known = deriveKnown(definitions, stored);
  const sameDefinitions = record.schema === definitions.schema;
  const byOrganization = deriveByOrganization(definitions, stored);
  if (byOrganization !== undefined && Object.keys(definitions.flags).every((name) => name in known)) {
    const derived: DerivedValues = { flags: valuesOf(known), ...byOrganization };
    const { flags, organizations } = record;
    return sameDefinitions && isDeepStrictEqual(derived, { flags, organizations })
      ? { verdict: "same" }
      : { verdict: "derived", ...derived };
  }
  if (!sameDefinitions) return { verdict: "different", field: "flag definitions" };
  const page = withPage(stored, searched);
  const listed = deriveKnown(definitions, page);
  const changed =
    Object.keys(listed).find((name) => !(name in known) && differs(record, name, listed)) ??
    findInOrganizations(definitions, record, page);
  if (changed !== undefined) return { verdict: "different", field: `flags.${changed}` };
  return Object.keys(known).some((name) => differs(record, name, known))
    ? { verdict: "derived", flags: { ...record.flags, ...valuesOf(known) }, organizations: record.organizations }
    : { verdict: "same" };
}

/**
 * Returns the first flag whose value in the record differs from the one that the profile gives; `undefined` if none does.
 * Flags that read a part that the profile does not hold are left out.
 *
 * @param ofFunctions Profile for flags that are functions. Default: the same
 */
export function findFlagDifference(
  definitions: Definitions,
  record: FlagsRecord,
  profile: Profile,
  ofFunctions: Profile = profile,
): string | undefined {
  const view = withholdUnkept(profile);
  const known = {
    ...deriveKnown(declared(definitions), view),
    ...deriveKnown(functions(definitions), withholdUnkept(ofFunctions)),
  };
  return (
    Object.keys(known).find((name) => differs(record, name, known)) ?? findInOrganizations(definitions, record, view)
  );
}

/** Returns whether a function reads the profile's permissions, or can do so after another part that it does not hold. */
export function readsPermissions(definitions: Definitions, profile: Profile): boolean {
  const view = withholdUnkept(withoutHeldPart(profile, "permissions"));
  return Object.values(functions(definitions).flags).some(({ read }) => {
    try {
      read(view);
      return false;
    } catch (error) {
      return isPartMissing(error);
    }
  });
}

function functions({ flags }: Definitions) {
  return { flags: Object.fromEntries(Object.entries(flags).filter(([, { opaque }]) => opaque)) };
}

function declared({ flags }: Definitions) {
  return { flags: Object.fromEntries(Object.entries(flags).filter(([, { opaque }]) => !opaque)) };
}

/** Values by flag, as JSON text. Texts compare objects, and flags that JSON leaves out: `undefined`. */
type Known = Readonly<Record<string, string | undefined>>;

/** Derives the flags that the profile determines. Leaves out those that read a withheld part. */
function deriveKnown({ flags }: Pick<Definitions, "flags">, profile: Profile): Known {
  const known = Object.entries(flags).flatMap(([name, definition]) => {
    try {
      return [[name, JSON.stringify(definition.read(profile).value)]];
    } catch {
      // The part is withheld: a refresh fetches it.
      return [];
    }
  });
  return Object.fromEntries(known);
}

/** Returns `undefined` if a flag of the current organization reads a withheld part. */
function deriveByOrganization({ flags }: Definitions, profile: Profile): Omit<DerivedValues, "flags"> | undefined {
  return attempt(() => ({ organizations: deriveInOrganizations(flags, profile, () => undefined) }));
}

/**
 * Returns the first flag of the current organization whose value in the record differs in some organization. Leaves out values
 * that a withheld part decides, and those that did not fit into the record.
 */
function findInOrganizations({ flags }: Definitions, record: FlagsRecord, profile: Profile): string | undefined {
  const { organizations } = record;
  const dependent = Object.entries(flags).filter(([, definition]) => definition.in === "current");
  // Also those that the user has left. "*" stands for all others.
  const codes = new Set(Object.keys(organizations ?? { "*": {} }));
  for (const code of attempt(() => profile.organizations.map((membership) => membership.code)) ?? []) codes.add(code);
  return dependent.find(([name, definition]) =>
    [...codes].some((code) => {
      const derived = attempt(() => definition.read(profile, code));
      const stored = storedValue(definition, name, record, code);
      const left = derived === undefined || (stored === undefined && organizations !== undefined);
      return !left && !isDeepStrictEqual(derived.value, stored);
    }),
  )?.[0];
}

/** Returns `undefined` if the profile does not hold what the function reads. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isPartMissing(error)) return undefined;
    throw error;
  }
}

function valuesOf(known: Known): Values {
  const present = Object.entries(known).flatMap(([name, text]) =>
    text === undefined ? [] : [[name, JSON.parse(text)]],
  );
  return Object.fromEntries(present);
}

function differs({ flags }: FlagsRecord, name: string, known: Known): boolean {
  return !isDeepStrictEqual(flags[name], valuesOf({ [name]: known[name] })[name]);
}

const accountMembers = [
  "providedId",
  "email",
  "phone",
  "username",
  "firstName",
  "lastName",
  "picture",
  "totalSignIns",
  "failedSignIns",
  "lastSignedIn",
  "createdOn",
] as const satisfies readonly (keyof Profile)[];

/** Returns the profile with a throwing getter for everything that it does not hold. */
function withholdUnkept(profile: Profile): Profile {
  const held = heldParts(profile);
  const identities = held.has("identities") ? profile.identities : profile.identities.map(withholdDetails);
  const view = withholdParts({ ...profile, identities }, new Set(extraParts.filter((part) => held.has(part))));
  if (!held.has("account")) for (const member of accountMembers) withhold(view, member, "account");
  if (!held.has("properties")) withhold(view, "properties", "properties");
  if (!held.has("organizations")) withhold(view, "organizations", "organizations");
  if (!held.has("billing")) withhold(view.billing, "customerId", "billing");
  return view;
}

function withholdDetails({ type }: Profile["identities"][number]) {
  return withhold({ type, identity: "" }, "identity", "identities");
}

function withhold<T extends object>(target: T, member: keyof T, part: ProfilePart): T {
  return Object.defineProperty(target, member, {
    configurable: true,
    enumerable: true,
    get(): never {
      throw new PartMissing(part);
    },
  });
}

/** Replaces what the profile does not hold by what the page shows. Roles, permissions, billing and phone stay withheld. */
function withPage(stored: Profile, { organizations, ...listed }: SearchedUser): Profile {
  const bare = organizations.map((code) => ({ code, roles: [], permissions: [] }));
  const memberships = withholdParts({ ...blankProfile(), organizations: bare }, new Set()).organizations;
  const held = Object.getOwnPropertyDescriptors(stored);
  const shown = Object.getOwnPropertyDescriptors({ ...listed, organizations: memberships });
  const replaced = Object.entries(shown).filter(
    ([name]) => name === "identities" || "get" in (held[name as keyof Profile] ?? {}),
  );
  return Object.defineProperties({} as Profile, { ...held, ...Object.fromEntries(replaced) });
}
