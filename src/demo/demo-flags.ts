import { defineFlags, permission, property } from "kindling";

// The demo's own, so that its checks hold whatever the flags file of the deployment declares.
const flags = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro", "enterprise"], { default: "free" }),
  region: property.string("compliance_region", { default: null }),
  admin: permission("admin:access"),
  suspended: (profile) => profile.isSuspended,
});

export default flags;

/** What the demo's app server reads. */
export type DemoFlags = (typeof flags)["defaults"];
