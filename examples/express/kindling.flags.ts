import { defineFlags, fresh, permission, property } from "kindling";

export default defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  admin: permission("admin:access", { in: "current" }),
  // Users who cannot be checked within a minute count as suspended.
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
});
