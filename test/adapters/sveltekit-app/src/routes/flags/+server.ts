import { json, type RequestHandler } from "@sveltejs/kit";

export const GET: RequestHandler = async ({ locals }) => {
  await locals.kindling();
  return json(await locals.kindling());
};
