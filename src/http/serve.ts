import { serve as listen, type ServerType } from "@hono/node-server";
import type { Hono } from "hono";

/** Options for {@link serve}. */
export interface ServeOptions {
  host: string;
  /** 0 selects any free port. */
  port: number;
  /** Time limit for receiving a request, in milliseconds. */
  requestTimeoutMs: number;
  /** Further connections are closed at once: with the limit on bodies, this bounds the memory that senders can take. */
  maxConnections: number;
}

/** A listening server. */
export interface Server {
  port: number;
  /** Refuses new connections and resolves once the requests in progress are answered. */
  close(): Promise<void>;
}

/** Serves the app until it is closed. Rejects with Node's error, such as `EADDRINUSE`, if it cannot listen. */
export async function serve(
  app: Hono,
  { host, port, requestTimeoutMs, maxConnections }: ServeOptions,
): Promise<Server> {
  const serverOptions = {
    // A client that trickles its body must not hold a connection for Node's default of five minutes.
    requestTimeout: requestTimeoutMs,
    headersTimeout: requestTimeoutMs,
    // Node enforces the timeouts above only at this interval.
    connectionsCheckingInterval: Math.min(1_000, requestTimeoutMs),
  };
  const server = await new Promise<ServerType>((resolve, reject) => {
    const started = listen({ fetch: app.fetch, hostname: host, port, serverOptions }, () => resolve(started));
    started.once("error", reject);
  });
  server.maxConnections = maxConnections;
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve, reject) => {
        // A keep-alive connection that becomes idle only after `close` would otherwise stay open.
        const idle = setInterval(() => "closeIdleConnections" in server && server.closeIdleConnections(), 20);
        server.close((error) => {
          clearInterval(idle);
          if (error) reject(error);
          else resolve();
        });
      }),
  };
}
