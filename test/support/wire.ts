import { connect, createServer, type Socket } from "node:net";

/** A TCP proxy to a server. Cutting it makes the server unreachable for its clients. */
export interface Wire {
  url: string;
  /** Breaks all connections and refuses new ones. */
  cut(): void;
  /** Ends `cut` and `freeze`. */
  restore(): void;
  /** Stops forwarding bytes from clients but keeps the connections, like a server that hangs. */
  freeze(): void;
  /** Keeps back what the server sends, like a congested network. */
  hold(): void;
  /** Ends `hold`: what was kept back arrives, late but in order. */
  release(): void;
  /** Called with every chunk from clients before it is forwarded, to freeze or cut at a certain command. */
  onRequest(listener: ((piece: string) => void) | undefined): void;
  close(): Promise<void>;
}

/** Starts a proxy to the server of a URL such as `redis://127.0.0.1:6379`. */
export async function startWire(target: string): Promise<Wire> {
  const { protocol, hostname, port, pathname } = new URL(target);
  const pairs = new Set<[Socket, Socket]>();
  let state: "open" | "cut" | "frozen" = "open";
  let held: (() => void)[] | undefined;
  let notify: ((piece: string) => void) | undefined;
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    const pair: [Socket, Socket] = [client, upstream];
    pairs.add(pair);
    for (const socket of pair) {
      socket.on("error", () => undefined);
      socket.on("close", () => {
        pairs.delete(pair);
        for (const end of pair) end.destroy();
      });
    }
    if (state === "cut") client.destroy();
    client.on("data", (piece) => {
      notify?.(piece.toString("latin1"));
      if (state === "open") upstream.write(piece);
    });
    upstream.on("data", (piece) => {
      const send = () => client.write(piece);
      if (held === undefined) send();
      else held.push(send);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const breakAll = () => {
    for (const [client] of pairs) client.destroy();
  };
  return {
    url: `${protocol}//127.0.0.1:${typeof address === "object" ? address?.port : 0}${pathname}`,
    cut: () => {
      state = "cut";
      breakAll();
    },
    restore: () => {
      if (state === "frozen") breakAll();
      state = "open";
    },
    freeze: () => {
      state = "frozen";
    },
    hold: () => {
      held ??= [];
    },
    release: () => {
      const late = held ?? [];
      held = undefined;
      for (const send of late) send();
    },
    onRequest: (listener) => {
      notify = listener;
    },
    close: () => {
      breakAll();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
