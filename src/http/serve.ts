import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { getRequestListener, type Http2Bindings, type HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import { failure, type Refuse } from "./body.ts";

/** Options for {@link serve}. */
export interface ServeOptions {
  host: string;
  /** 0 selects any free port. */
  port: number;
  /** Time limit for receiving a request, in milliseconds. A client that takes none of its answer for a little longer is disconnected. */
  requestTimeoutMs: number;
  /** Further connections are closed at once: with the limit on bodies, this bounds the memory that senders can take. */
  maxConnections: number;
  /** Refuses a path with dot segments. Default: answers without counting. */
  refuse?: Refuse;
}

/** A listening server. */
export interface Server {
  port: number;
  /** Refuses new connections and resolves once the requests in progress are answered. Does not wait for clients that do not read. */
  close(): Promise<void>;
}

/** How long a client can send and take nothing while the server closes, in milliseconds. */
const closingTimeoutMs = 1_000;

/**
 * Serves the app until it is closed. Rejects with Node's error, such as `EADDRINUSE`, if it cannot listen.
 *
 * A connection has one request at a time. One that sends another before the first is answered is closed: its answers
 * and bodies would have no bound, and Node never reports the end of an answer that waits behind another.
 */
export async function serve(
  app: Hono,
  { host, port, requestTimeoutMs, maxConnections, refuse = answerRefusal }: ServeOptions,
): Promise<Server> {
  const refusing = new Hono().all("*", (context) => {
    const message = "The path must not contain the segments `.` and `..`.";
    return refuse(context, { route: "other", status: 400, code: "request_malformed", message });
  });
  const answer = getRequestListener(
    (request: Request, env: HttpBindings | Http2Bindings) =>
      (hasDotSegment(env.incoming.url ?? "") ? refusing : app).fetch(request, env),
    { hostname: host },
  );
  // Node enforces the time limits of requests only at this interval.
  const checkMs = Math.min(1_000, requestTimeoutMs);
  /** The open connections and the latest answer on each. */
  const connections = new Map<Socket, ServerResponse | undefined>();
  const server = createServer(
    // A client that trickles its body must not hold a connection for Node's default of five minutes.
    { requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs, connectionsCheckingInterval: checkMs },
    ({ socket }, outgoing) => {
      // Only an answer that waits behind another has no socket yet.
      if (outgoing.socket === null) {
        socket.destroy();
        return;
      }
      connections.set(socket, outgoing);
      void answer(outgoing.req, outgoing);
    },
  );
  server.maxConnections = maxConnections;
  server.on("connection", (socket) => {
    connections.set(socket, undefined);
    socket.once("close", () => connections.delete(socket));
  });
  const dropUnlessAnswering = (socket: Socket) => {
    if (!isAnswering(connections.get(socket))) socket.destroy();
  };
  // Late enough for Node's own checks, which answer 408 to a request that does not arrive.
  server.setTimeout(requestTimeoutMs + 2 * checkMs, dropUnlessAnswering);
  await once(server.listen(port, host), "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve, reject) => {
        // A keep-alive connection that becomes idle only after `close` would otherwise stay open.
        const idle = setInterval(() => server.closeIdleConnections(), 20);
        for (const socket of connections.keys()) socket.setTimeout(closingTimeoutMs);
        // A closing server enforces Node's time limits no longer.
        const late = setTimeout(() => [...connections.keys()].forEach(dropUnlessAnswering), requestTimeoutMs);
        server.close((error) => {
          clearInterval(idle);
          clearTimeout(late);
          if (error) reject(error);
          else resolve();
        });
      }),
  };
}

/** Whether the app is working on its answer: the request has arrived, and the client has taken all that was sent. */
function isAnswering(response: ServerResponse | undefined): boolean {
  return response?.req.complete === true && !response.writableFinished && response.writableLength === 0;
}

const answerRefusal: Refuse = (context, { status, code, message }) => context.json(failure(code, message), status);

// URL parsers resolve these segments, so that a proxy that does not would apply its rules to another path than we do.
function hasDotSegment(target: string): boolean {
  const [path = ""] = target.split(/[?#]/, 1);
  return path.split(/[/\\]|%2f|%5c/i).some((segment) => /^(\.|%2e){1,2}$/i.test(segment));
}
