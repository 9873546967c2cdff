import { fail, redirect } from "@sveltejs/kit";
import { kindling, requireFlag } from "$lib/server/kindling";
import type { Actions, PageServerLoad } from "./$types";

export const load: PageServerLoad = async ({ locals }) => {
  const { flags } = await locals.kindling();
  if (flags.onboarded) redirect(303, "/invoices");
};

export const actions: Actions = {
  default: async ({ locals, request }) => {
    const { userId } = await requireFlag(locals.kindling, ({ suspended }) => !suspended);
    const region = (await request.formData()).get("region");
    if (region !== "eu" && region !== "us") return fail(400, { problem: "Choose where your studio is." });
    await kindling.setProperties(userId, { onboarded: true, compliance_region: region });
    redirect(303, "/invoices");
  },
};
