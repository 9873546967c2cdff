import { defineFlags, fresh, permission, property } from "kindling";

/** The flags of the apps under test. */
export default defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  admin: permission("admin:access"),
  teamAdmin: permission("team:admin", { in: "current" }),
  suspended: fresh((profile) => profile.isSuspended, { maxAge: 60_000, whenOlder: "deny", value: true }),
});
