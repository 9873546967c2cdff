import { defineFlags, fresh, permission, property } from "kindling";

export default defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  region: property.oneOf("compliance_region", ["eu", "us"], { default: null }),
  admin: permission("admin:access", { in: "current" }),
  // Users who cannot be checked within a minute are kept out.
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
});
