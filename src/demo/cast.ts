import type { UserInput } from "kinde-emulator";

type Member = UserInput & { id: string };

/** Signs up, is made an admin, leaves. */
export const ada: Member = {
  id: "kp_ada00000000000000000000000000001",
  firstName: "Ada",
  lastName: "Lovelace",
  properties: { onboarded: "true", plan_tier: "pro", compliance_region: "eu" },
};

/** Changes a thousand times in a moment, and stays. */
export const bob: Member = {
  id: "kp_b0b00000000000000000000000000002",
  firstName: "Bob",
  lastName: "Kahn",
  properties: { plan_tier: "enterprise", compliance_region: "us" },
};
