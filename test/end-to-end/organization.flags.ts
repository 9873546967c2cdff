import { defineFlags, organizationProperty, permission, plan, property, role } from "kindling";

export default defineFlags({
  tier: property.oneOf("plan_tier", ["free", "pro"], { default: "free" }),
  admin: permission("admin:access", { in: "current" }),
  editor: role("editor", { in: "current" }),
  team: plan("team", { in: "current" }),
  seats: organizationProperty.number("seats", { default: 1 }),
});
