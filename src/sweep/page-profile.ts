import type { Definitions } from "kindling";
import {
  type ExtraPart,
  type FlagsRecord,
  organizationParts,
  PartMissing,
  type Profile,
  withholdParts,
} from "kindling/contract";
import type { UserDetails } from "../kinde/list-details.ts";
import type { SearchedUser } from "../kinde/search-users.ts";

/** A user's profile as the listings show it, and the parts it includes that otherwise take separate calls. */
export interface PageProfile {
  profile: Profile;
  known: ReadonlySet<ExtraPart>;
}

/** Builds a profile from the listings. Without an organization a user has no roles, without a customer id no plans. */
export function pageProfile(
  { organizations, ...user }: SearchedUser,
  details: UserDetails = { phone: null, customerId: null },
): PageProfile {
  const known: ExtraPart[] = [];
  if (organizations.length === 0) known.push("roles", "permissions", ...organizationParts);
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

/** Part named by {@link PartMissing} if a flag reads {@link UserDetails} that were not fetched. */
export const detailsPart = "details";

/**
 * Derives the flags of a profile from the listings.
 *
 * @param detailed whether the details were fetched
 * @throws {PartMissing} if a flag reads a part that the listings do not include
 */
export function derivePage(
  definitions: Definitions,
  { profile, known }: PageProfile,
  detailed: boolean,
): Pick<FlagsRecord, "flags" | "organizations"> {
  const guarded = withholdParts(profile, known);
  const { flags, organizations } = definitions.derive(detailed ? guarded : withholdDetails(guarded));
  return { flags, organizations };
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
