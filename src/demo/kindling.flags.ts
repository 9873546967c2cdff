import { defineFlags, permission, property } from "kindling";

// The demo has its own definitions, so that its checks hold whatever the deployment's flags file declares.
const definitions = defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro", "enterprise"], { default: "free" }),
  region: property.string("compliance_region", { default: null }),
  admin: permission("admin:access"),
  suspended: (profile) => profile.isSuspended,
});

export default definitions;

/** Flags that the demo's app server reads. */
export type DemoFlags = (typeof definitions)["defaults"];
