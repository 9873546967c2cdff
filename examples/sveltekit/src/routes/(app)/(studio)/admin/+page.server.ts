import type { PageServerLoad } from "./$types";

export const load: PageServerLoad = async ({ locals }) => ({ answer: await locals.kindling() });
