import { requireFlag } from "$lib/server/kindling";
import type { PageServerLoad } from "./$types";

export const load: PageServerLoad = async ({ locals }) => {
  await requireFlag(locals.kindling, ({ region }) => region === "eu");
};
