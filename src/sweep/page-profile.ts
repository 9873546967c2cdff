import type { Definitions } from "kindling";
import {
  type Agreement,
  type ExtraPart,
  type FlagsRecord,
  type Membership,
  organizationParts,
  PartMissing,
  type Profile,
  withholdParts,
} from "kindling/contract";
import type { UserDetails } from "../kinde/list-details.ts";
import type { SearchedUser } from "../kinde/search-users.ts";
import type { GrantPart } from "./gather-grants.ts";

/** A user's profile as the listings show it, and the parts it includes that otherwise take separate calls. */
export interface PageProfile {
  profile: Profile;
  known: ReadonlySet<ExtraPart>;
}

/** What other listings than the search show of a user. A member that was not asked for is absent. */
export interface ListedExtras {
  details?: UserDetails | undefined;
  agreements?: readonly Agreement[] | undefined;
  /** The user's memberships with the given parts. */
  grants?: { memberships: readonly Membership[]; parts: readonly GrantPart[] } | undefined;
}

/** Builds a profile from the listings. Without an organization a user has no roles, without a customer id no plans. */
export function pageProfile(
  user: SearchedUser,
  { details = { phone: null, customerId: null }, agreements, grants }: ListedExtras = {},
): PageProfile {
  const known = new Set<ExtraPart>(grants?.parts);
  const { organizations } = user;
  if (organizations.length === 0) for (const part of memberParts) known.add(part);
  if (details.customerId === null || agreements !== undefined) known.add("billing");
  return {
    profile: {
      // V8 adds members to a copy about ten times more slowly than it copies into a larger object.
      phone: details.phone,
      billing: { customerId: details.customerId, agreements: agreements ?? [] },
      ...user,
      organizations: grants?.memberships ?? organizations.map((code) => ({ code, roles: [], permissions: [] })),
    },
    known,
  };
}

/** Parts that only members of organizations have. */
export const memberParts = ["roles", "permissions", ...organizationParts] as const;

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
