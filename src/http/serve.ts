import { serve as listen, type ServerType } from "@hono/node-server";
import type { Hono } from "hono";

/** Where to listen, and for how long a request may take to arrive, in milliseconds. */
export interface ServeOptions {
  host: string;
  /** 0 for any free one. */
  port: number;
  requestTimeoutMs: number;
}

/** A listening server. */
export interface Server {
  port: number;
  /** Refuses new connections, and resolves when requests in hand are answered. */
  close(): Promise<void>;
}

/** Serves the app until closed. Rejects when the address cannot be had. */
export async function serve(app: Hono, { host, port, requestTimeoutMs }: ServeOptions): Promise<Server> {
  const server = await new Promise<ServerType>((resolve, reject) => {
    const started = listen({ fetch: app.fetch, hostname: host, port }, () => resolve(started));
    started.once("error", reject);
  });
  if ("requestTimeout" in server) {
    // A sender that trickles its body must not hold a connection for Node's default of five minutes.
    server.requestTimeout = requestTimeoutMs;
    server.headersTimeout = requestTimeoutMs;
  }
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        if ("closeIdleConnections" in server) server.closeIdleConnections();
      }),
  };
}
