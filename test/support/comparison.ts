import type { TruthUser } from "../../packages/kinde-emulator/src/truth-types.ts";
import type { KeptProfile } from "../../src/kinde/keep-parts.ts";
import type { Stack } from "./stack.ts";

/** A user in comparable form: sorted lists, and grants as keys. */
export interface Comparable {
  status: unknown;
  flags: Readonly<Record<string, unknown>> | undefined;
  profile: unknown;
}

const sorted = (list: readonly string[]) => [...list].sort();
const byCode = (a: { code: string }, b: { code: string }) => a.code.localeCompare(b.code);

/** Returns what Redis must contain for the user's state in Kinde: a tombstone if the user does not exist. */
export function expected(truth: TruthUser | undefined): Comparable {
  if (truth === undefined) {
    return {
      status: "deleted",
      flags: { onboarded: false, tier: "free", region: null, admin: false, suspended: false },
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
  };
}

/** Returns what Redis contains about a user of a stack, read as an app server would. */
export async function held({ store, config }: Stack, id: string): Promise<Comparable> {
  const [record, profile] = await store.redis.mget(
    `${config.prefix}:flags:{${id}}`,
    `${config.prefix}:profile:{${id}}`,
  );
  return parseHeld(record ?? null, profile ?? null);
}

/** Returns what the two keys of a user hold. */
export function parseHeld(record: string | null, profile: string | null): Comparable {
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
