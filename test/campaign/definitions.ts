import { defineFlags, fresh, permission, property } from "kindling";

/** Age above which {@link definitions} deny, in milliseconds. */
export const denyAfterMs = 20_000;

const tiers = ["free", "pro", "enterprise"] as const;
const tier = property.oneOf("plan_tier", tiers, { default: "free" });

/** The definitions of the simulated deployment. */
export const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier,
  region: property.string("compliance_region", { default: null }),
  admin: permission("admin:access"),
  suspended: (profile) => profile.isSuspended,
  banned: fresh((profile) => profile.isSuspended, { maxAge: denyAfterMs, whenOlder: "deny", value: true }),
});

/** Those of another release: one flag fewer, one more, and one that is derived differently. */
export const otherDefinitions = defineFlags({
  tier,
  suspended: (profile) => !profile.isSuspended,
  paying: (profile) => profile.billing.agreements.length > 0,
});
