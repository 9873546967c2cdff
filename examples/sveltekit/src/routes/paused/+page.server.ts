import { redirect } from "@sveltejs/kit";
import type { PageServerLoad } from "./$types";

export const load: PageServerLoad = async ({ locals }) => {
  const { flags, denied } = await locals.kindling();
  if (!flags.suspended) redirect(303, "/invoices");
  return { unsure: denied.includes("suspended") };
};
