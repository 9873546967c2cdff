import { redirect } from "@sveltejs/kit";
import type { PageServerLoad } from "./$types";

export const load: PageServerLoad = async ({ locals }) => {
  const { userId } = await locals.kindling();
  if (userId !== null) redirect(303, "/invoices");
};
