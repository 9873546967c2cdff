import { defineFlags, property } from "kindling";

/** Flags that the search alone can tell: what a store is filled with straight from its pages. */
export default defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro", "enterprise"], { default: "free" }),
  region: property.string("compliance_region", { default: null }),
  suspended: (profile) => profile.isSuspended,
});
