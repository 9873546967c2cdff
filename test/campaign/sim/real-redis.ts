import type { Socket } from "node:net";
import { real } from "./globals.ts";
import { encode, endOfReply, latin1 } from "./resp.ts";

/** A raw connection to the Redis that does the simulation's work. */
export interface RealRedis {
  /** Sends commands in one round trip. Returns the raw replies, in order. */
  send(commands: readonly (readonly string[])[]): Promise<Buffer[]>;
  /** Whether some answers arrive late, in real time, as on a busy machine. */
  slow: boolean;
  close(): void;
}

/** Connects to a Redis on this machine, over a Unix socket: a third of a schedule's time would go into TCP. */
export async function connectRealRedis(path: string): Promise<RealRedis> {
  const socket: Socket = real.createConnection({ path });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  let received: Buffer = Buffer.alloc(0);
  let answers = 0;
  let waiting: { left: number; replies: Buffer[]; resolve: (replies: Buffer[]) => void } | undefined;
  socket.on("data", (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    let start = 0;
    while (waiting !== undefined && waiting.left > 0) {
      const end = endOfReply(received, start);
      if (end === undefined) break;
      waiting.replies.push(received.subarray(start, end));
      waiting.left -= 1;
      start = end;
    }
    received = received.subarray(start);
    if (waiting?.left !== 0) return;
    const { resolve, replies } = waiting;
    waiting = undefined;
    answers += 1;
    if (connection.slow && answers % 4 === 0) real.setTimeout(() => resolve(replies), 1);
    else resolve(replies);
  });
  const connection: RealRedis = {
    slow: false,
    send: (commands) =>
      new Promise((resolve) => {
        waiting = { left: commands.length, replies: [], resolve };
        socket.write(Buffer.concat(commands.map((command) => encode(command.map(latin1)))));
      }),
    close: () => socket.destroy(),
  };
  return connection;
}
