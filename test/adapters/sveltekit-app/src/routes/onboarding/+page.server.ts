import type { ServerLoad } from "@sveltejs/kit";
import { requireFlag } from "../../lib/server/kindling.ts";

export const load: ServerLoad = async ({ locals }) => {
  const { flags } = await requireFlag(locals.kindling, "onboarded", { signIn: "/login", redirect: "/welcome" });
  return { tier: flags.tier };
};
