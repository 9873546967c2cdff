import { expect } from "vitest";
import type { TruthUser } from "../../src/emulator/index.ts";
import type { Stack } from "../support/stack.ts";

/** Demands that each record equals Kinde's truth, and that nothing is left to do. */
export async function expectTruth({ emulator, store, record }: Stack, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const truth = emulator.kinde.user(id);
    const flags = await record(id);
    const { profile } = await store.records.read(id);
    if (truth === undefined) {
      expect(flags, id).toMatchObject({ status: "deleted" });
      expect(profile, id).toBeUndefined();
    } else {
      expect(flags, id).toMatchObject({ status: "present", flags: flagsOf(truth) });
      expect(profile, id).toMatchObject(profileOf(truth));
    }
  }
}

function flagsOf({ properties, organizations, isSuspended }: TruthUser) {
  const tier = properties.plan_tier ?? "free";
  return {
    onboarded: properties.onboarded === "true",
    tier: ["free", "pro", "enterprise"].includes(tier) ? tier : "free",
    region: properties.compliance_region ?? null,
    admin: organizations.some(({ permissions }) => permissions.includes("admin:access")),
    suspended: isSuspended,
  };
}

function profileOf(truth: TruthUser) {
  const inAnyOrder = (keys: string[]) =>
    expect.toSatisfy(
      (grants: { key: string }[]) =>
        JSON.stringify(grants.map(({ key }) => key).sort()) === JSON.stringify([...keys].sort()),
    );
  return {
    id: truth.id,
    email: truth.email,
    phone: truth.phone,
    firstName: truth.firstName,
    lastName: truth.lastName,
    isSuspended: truth.isSuspended,
    totalSignIns: truth.totalSignIns,
    properties: truth.properties,
    organizations: truth.organizations.map(({ code, roles, permissions }) => ({
      code,
      roles: inAnyOrder(roles),
      permissions: inAnyOrder(permissions),
    })),
    billing: {
      customerId: truth.billing?.customerId ?? null,
      agreements: (truth.billing?.agreements ?? []).map(({ id, planCode }) => ({ id, planCode })),
    },
  };
}
