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
  const serverOptions = {
    // A sender that trickles its body must not hold a connection for Node's default of five minutes.
    requestTimeout: requestTimeoutMs,
    headersTimeout: requestTimeoutMs,
    // Node looks for late requests this often only.
    connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs),
  };
  const server = await new Promise<ServerType>((resolve, reject) => {
    const started = listen({ fetch: app.fetch, hostname: host, port, serverOptions }, () => resolve(started));
    started.once("error", reject);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve, reject) => {
        // A connection that falls idle only now would otherwise be kept open for the next request.
        const idle = setInterval(() => "closeIdleConnections" in server && server.closeIdleConnections(), 20);
        server.close((error) => {
          clearInterval(idle);
          if (error) reject(error);
          else resolve();
        });
      }),
  };
}
