import { error } from "@sveltejs/kit";
import { requireFlag, service } from "$lib/server/kindling";
import type { RequestHandler } from "./$types";

/** Passes on the stream of the signed-in user's flags: the browser needs neither a token nor Kindling's address. */
export const GET: RequestHandler = async ({ locals, request }) => {
  const { userId, organization } = await requireFlag(locals.kindling, ({ suspended }) => !suspended);
  const query = new URLSearchParams({ user: userId, ...(organization && { organization }) });
  const stream = await fetch(`${service.url}/v1/flags/stream?${query}`, {
    headers: { authorization: `Bearer ${service.token}` },
    signal: request.signal,
  }).catch(() => error(503, "Kindling does not answer."));
  return new Response(stream.body, {
    status: stream.status,
    headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
  });
};
