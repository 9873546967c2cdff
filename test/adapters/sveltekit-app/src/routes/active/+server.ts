import { type RequestHandler, text } from "@sveltejs/kit";
import { requireFlag } from "../../lib/server/kindling.ts";

export const GET: RequestHandler = async ({ locals }) => {
  await requireFlag(locals.kindling, (flags) => !flags.suspended);
  return text("active");
};
