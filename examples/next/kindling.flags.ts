import { defineFlags, fresh, permission, property } from "kindling";

export default defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  admin: permission("admin:access", { in: "current" }),
  // Whoever cannot be checked within a minute counts as suspended.
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
});
