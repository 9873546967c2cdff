import type { Definitions } from "kindling";
import { type ExtraPart, PartMissing, type Profile, withholdParts } from "kindling/contract";
import type { UserDetails } from "../kinde/list-details.ts";
import type { SearchedUser } from "../kinde/search-users.ts";

/** A user's profile as the lists show it, and which of the parts that take calls of their own are known by it. */
export interface PageProfile {
  profile: Profile;
  known: ReadonlySet<ExtraPart>;
}

/** Puts together what the lists show. Who is in no organization has no roles there, and who is no customer no plan. */
export function pageProfile(
  { organizations, ...user }: SearchedUser,
  details: UserDetails = { phone: null, customerId: null },
): PageProfile {
  const known: ExtraPart[] = [];
  if (organizations.length === 0) known.push("roles", "permissions");
  if (details.customerId === null) known.push("billing");
  return {
    profile: {
      ...user,
      phone: details.phone,
      organizations: organizations.map((code) => ({ code, roles: [], permissions: [] })),
      billing: { customerId: details.customerId, agreements: [] },
    },
    known: new Set(known),
  };
}

/** Told by {@link PartMissing} when a flag looks at what only {@link UserDetails} tell, and they were not asked for. */
export const detailsPart = "details";

/**
 * The flags of a profile from the lists.
 *
 * @param detailed whether the details were asked for
 * @throws {PartMissing} when a flag looks at what the lists do not tell
 */
export function derivePage(
  flags: Definitions,
  { profile, known }: PageProfile,
  detailed: boolean,
): Record<string, unknown> {
  const seen = withholdParts(profile, known);
  return flags.derive(detailed ? seen : withholdDetails(seen)).flags;
}

function withholdDetails(profile: Profile): Profile {
  const trap = {
    enumerable: true,
    get(): never {
      throw new PartMissing(detailsPart);
    },
  };
  const billing = Object.defineProperties({} as Profile["billing"], { customerId: trap, agreements: trap });
  return Object.defineProperty({ ...profile, billing }, "phone", trap);
}
