import type { TruthUser } from "../../packages/kinde-emulator/src/truth-types.ts";
import type { KeptProfile } from "../../src/kinde/keep-parts.ts";

/** A user in comparable form: sorted lists, and grants as keys. */
export interface Comparable {
  status: unknown;
  flags: unknown;
  profile: unknown;
}

const sorted = (list: readonly string[]) => [...list].sort();
const byCode = (a: { code: string }, b: { code: string }) => (a.code < b.code ? -1 : 1);

/** Returns what Redis must contain for the user's state in Kinde: a tombstone if the user does not exist. */
export function expected(truth: TruthUser | undefined): Comparable {
  if (truth === undefined) {
    return {
      status: "deleted",
      flags: { onboarded: false, tier: "free", region: null, admin: false, suspended: false, banned: false },
      profile: undefined,
    };
  }
  const { organizations, billing, properties, identities, isPasswordResetRequested: _, ...account } = truth;
  return {
    status: "present",
    flags: expectedFlags(truth),
    profile: {
      ...account,
      properties,
      organizations: organizations
        .map(({ code, roles, permissions }) => ({ code, roles: sorted(roles), permissions: sorted(permissions) }))
        .sort(byCode),
      identities: identities.map(({ type }) => ({ type })),
      billing: {
        customerId: billing?.customerId ?? null,
        agreements: (billing?.agreements ?? []).map(({ id, planCode }) => ({ id, planCode })),
      },
    },
  };
}

// Derived by hand: using the code under test would prove nothing.
function expectedFlags({ properties, organizations, isSuspended }: TruthUser) {
  const tier = properties.plan_tier ?? "free";
  return {
    onboarded: properties.onboarded === "true",
    tier: ["free", "pro", "enterprise"].includes(tier) ? tier : "free",
    region: properties.compliance_region ?? null,
    admin: organizations.some(({ permissions }) => permissions.includes("admin:access")),
    suspended: isSuspended,
    banned: isSuspended,
  };
}

/** Returns what Redis contains, as an app server reads it. */
export function held(record: string | null, profile: string | null): Comparable {
  const { flags, status } = JSON.parse(record ?? "{}") as Partial<Comparable>;
  return { status, flags, profile: profile ? comparable(JSON.parse(profile) as KeptProfile) : undefined };
}

function comparable({ parts: _parts, ...profile }: KeptProfile) {
  const keys = (grants: readonly { key: string }[]) => sorted(grants.map(({ key }) => key));
  return {
    ...profile,
    // Kinde also lists the properties that the user does not have.
    properties: Object.fromEntries(Object.entries(profile.properties).filter(([, value]) => value !== null)),
    organizations: profile.organizations
      .map(({ code, roles, permissions }) => ({ code, roles: keys(roles), permissions: keys(permissions) }))
      .sort(byCode),
  };
}
