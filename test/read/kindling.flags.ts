import { defineFlags, fresh, permission, property } from "kindling";

export default defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro", "enterprise"], { default: "free" }),
  region: property.string("compliance_region", { default: null }),
  admin: permission("admin:access"),
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 3_600_000, whenOlder: "deny", value: true }),
});
