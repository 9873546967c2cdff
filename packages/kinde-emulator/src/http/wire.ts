import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Reply } from "./reply.ts";

type Wire = Pick<HttpBindings, "incoming" | "outgoing">;

export const send = ({ status, body, headers }: Reply): Response => new Response(body, { status, headers });

/** Sends nothing; resolves once the client disconnects. */
export async function hang({ outgoing }: Wire): Promise<Response> {
  if (!outgoing.destroyed) await new Promise<void>((resolve) => outgoing.once("close", resolve));
  return RESPONSE_ALREADY_SENT;
}

/** Resets the TCP connection. */
export function reset({ incoming }: Wire): Response {
  incoming.socket.resetAndDestroy();
  return RESPONSE_ALREADY_SENT;
}

/** Declares the full content length, sends half of the body and closes the connection. */
export async function truncate({ outgoing }: Wire, { status, body, headers }: Reply): Promise<Response> {
  const bytes = Buffer.from(body);
  outgoing.writeHead(status, { ...headers, "content-length": bytes.length });
  await new Promise<void>((resolve) => {
    outgoing.once("close", resolve);
    outgoing.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => outgoing.destroy());
  });
  return RESPONSE_ALREADY_SENT;
}
