import { once } from "node:events";
import { createConnection, type Socket } from "node:net";

/** What a load came to. */
export interface LoadResult {
  perSecond: number;
  /** Of each request, in milliseconds. */
  latencies: number[];
}

/**
 * Sends the requests over so many kept-alive connections, each sending its next one when the last is answered. Speaks just
 * enough HTTP by itself: a client library costs as much processor time as the servers under test, on the same machine.
 *
 * @throws when an answer is not 200
 */
export async function sendAll(port: number, requests: readonly Buffer[], connections: number): Promise<LoadResult> {
  const latencies: number[] = [];
  let next = 0;
  const sockets = await Promise.all(Array.from({ length: connections }, () => connect(port)));
  const begun = performance.now();
  const work = async (connection: Connection) => {
    for (let request = requests[next++]; request !== undefined; request = requests[next++]) {
      const sent = performance.now();
      const status = await connection.exchange(request);
      latencies.push(performance.now() - sent);
      if (status !== 200) throw new Error(`The server answered ${status}.`);
    }
  };
  try {
    await Promise.all(sockets.map(work));
    return { perSecond: (requests.length * 1000) / (performance.now() - begun), latencies };
  } finally {
    for (const { close } of sockets) close();
  }
}

/** A body as a whole request. */
export function requestOf(body: string): Buffer {
  const head = [
    "POST /webhooks/kinde HTTP/1.1",
    "host: 127.0.0.1",
    "content-type: application/jwt",
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** A kept-alive connection: one exchange at a time. */
export interface Connection {
  /** Sends a request; resolves with the status when the whole answer is there. */
  exchange(request: Buffer): Promise<number>;
  close(): void;
}

/** Opens a connection to a server on this machine. */
export async function connect(port: number): Promise<Connection> {
  const socket = createConnection({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  return { exchange: exchangeOver(socket), close: () => socket.destroy() };
}

function exchangeOver(socket: Socket): Connection["exchange"] {
  let received = "";
  let waiting: { resolve: (status: number) => void; reject: (error: Error) => void } | undefined;
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    received += chunk;
    const status = statusOfWhole(received);
    if (status === undefined) return;
    received = "";
    waiting?.resolve(status);
  });
  socket.on("error", (error) => waiting?.reject(error));
  socket.on("close", () => waiting?.reject(new Error("The server closed a connection.")));
  return (request) =>
    new Promise((resolve, reject) => {
      waiting = { resolve, reject };
      socket.write(request);
    });
}

/** The status of an answer, once all of it has arrived. */
function statusOfWhole(text: string): number | undefined {
  const bodyAt = text.indexOf("\r\n\r\n") + 4;
  if (bodyAt < 4) return undefined;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, bodyAt))?.[1];
  if (length === undefined) throw new Error("An answer without content-length.");
  return text.length - bodyAt >= Number(length) ? Number(text.slice(9, 12)) : undefined;
}
