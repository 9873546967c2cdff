import { defineFlags, fresh, permission, plan, property, role } from "kindling";
import { describe, expect, it } from "vitest";
import { flagsOfClaims } from "../../packages/kindling/src/definitions/claims.ts";

const flags = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  region: property.string("compliance_region", { default: null }),
  admin: permission("admin:access"),
  adminElsewhere: permission("admin:access", { organization: "org_b" }),
  editor: role("editor"),
  gold: plan("gold"),
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 1_000, whenOlder: "serve" }),
  tierOrFree: (profile) => profile.properties.plan_tier ?? "free",
  named: (profile) => profile.firstName !== null,
});

describe("flags of claims", () => {
  it("are those alone that the token determines", () => {
    const claims = {
      sub: "kp_1",
      org_code: "org_a",
      permissions: ["admin:access"],
      roles: [{ id: "1", key: "editor", name: "Editor" }],
      user_properties: { onboarded: { v: true }, plan_tier: { v: "pro" } },
    };
    expect(flagsOfClaims(flags, claims)).toEqual({
      onboarded: true,
      tier: "pro",
      admin: true,
      adminElsewhere: false,
      editor: true,
      tierOrFree: "pro",
    });
  });

  it("take a permission held in the token's organization for known, and one held nowhere in it for unknown while there are others", () => {
    const claims = { sub: "kp_1", org_code: "org_a", org_codes: ["org_a", "org_b"], permissions: ["admin:access"] };
    expect(flagsOfClaims(flags, claims)).toEqual({ admin: true });
    expect(flagsOfClaims(flags, { ...claims, permissions: [] })).toEqual({});
  });

  it("take a property that is null for unset, and one of another kind for its misfit", () => {
    const claims = { sub: "kp_1", user_properties: { onboarded: { v: null }, plan_tier: { v: "platinum" } } };
    expect(flagsOfClaims(flags, claims)).toEqual({ onboarded: false, tier: "free", tierOrFree: "platinum" });
  });

  it("are none for a token that carries nothing", () => {
    expect(flagsOfClaims(flags, { sub: "kp_1", iat: 1 })).toEqual({});
  });
});
