import { type Http2Bindings, type HttpBindings, serve as listen, type ServerType } from "@hono/node-server";
import type { Hono } from "hono";
import { failure } from "./body.ts";

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
  const answer = (request: Request, env: HttpBindings | Http2Bindings) =>
    hasDotSegment(env.incoming.url ?? "") ? refusePath() : app.fetch(request, env);
  const server = await new Promise<ServerType>((resolve, reject) => {
    const started = listen({ fetch: answer, hostname: host, port, serverOptions }, () => resolve(started));
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

// URL parsers resolve these segments, so that a proxy that does not would apply its rules to another path than we do.
function hasDotSegment(target: string): boolean {
  const [path = ""] = target.split(/[?#]/, 1);
  return path.split(/[/\\]|%2f|%5c/i).some((segment) => /^(\.|%2e){1,2}$/i.test(segment));
}

function refusePath(): Response {
  return Response.json(failure("request_malformed", "The path must not contain the segments `.` and `..`."), {
    status: 400,
  });
}
