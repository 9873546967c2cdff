import { type RequestHandler, text } from "@sveltejs/kit";
import { requireFlag } from "../../lib/server/kindling.ts";

export const GET: RequestHandler = async ({ locals }) => {
  const { userId } = await requireFlag(locals.kindling, "admin");
  return text(`admin ${userId}`);
};
