import { once } from "node:events";
import { Agent, get } from "node:http";
import { connect, type Socket } from "node:net";
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { stream } from "hono/streaming";
import { afterEach, describe, expect, it } from "vitest";
import { type Server, serve } from "../../src/http/serve.ts";
import { until } from "../support/until.ts";

let server: Server | undefined;

afterEach(async () => {
  await server?.close();
  server = undefined;
});

const start = async (app: Hono, requestTimeoutMs = 5_000, maxConnections = 100) => {
  server = await serve(app, { host: "127.0.0.1", port: 0, requestTimeoutMs, maxConnections });
  return server;
};

/** More than the buffers of a connection hold. */
const large = "x".repeat(20_000_000);

const open = (port: number, text = "") => {
  const socket = connect(port, "127.0.0.1").on("error", () => undefined);
  socket.write(text);
  return socket.resume();
};

function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** Receives an answer up to its last byte. Returns its first line. */
async function receive(socket: Socket): Promise<string> {
  let [start, tail, received] = ["", "", 0];
  for (;;) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    received += chunk.length;
    if (start.length < 1_000) start += chunk.toString("latin1");
    tail = (tail + chunk.subarray(-5).toString("latin1")).slice(-5);
    const head = start.indexOf("\r\n\r\n") + 4;
    const length = /content-length: (\d+)/i.exec(start)?.[1];
    const isWhole = length === undefined ? tail === "0\r\n\r\n" : received === head + Number(length);
    if (head > 3 && isWhole) return start.slice(0, start.indexOf("\r\n"));
  }
}

describe("the server", () => {
  it("ends a request that arrives too slowly", async () => {
    const app = new Hono()
      .onError((_, context) => context.text("ended", 400))
      .post("/", async (context) => context.text(await context.req.text()));
    const { port } = await start(app, 200);
    const socket = connect(port, "127.0.0.1");
    socket.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc");
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 408 /);
    socket.destroy();
  });

  it("closes connections beyond its limit and serves the others", async () => {
    const { port } = await start(
      new Hono().get("/", (context) => context.text("served")),
      5_000,
      2,
    );
    const held = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
    await Promise.all(held.map((socket) => once(socket, "connect")));
    const refused = connect(port, "127.0.0.1");
    refused.on("error", () => undefined);
    await once(refused, "close");
    const [first] = held;
    if (first === undefined) throw new Error("no connection");
    first.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    const [answer] = (await once(first, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);
    for (const socket of held) socket.destroy();
  });

  it("closes a connection that sends a request before the last one is answered", async () => {
    let calls = 0;
    const held = gate();
    const app = new Hono().get("/", async (context) => {
      calls += 1;
      await held.opened;
      return context.text("done");
    });
    try {
      const { port } = await start(app);
      const request = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
      const atOnce = open(port, request.repeat(1_000));
      await until(() => expect(atOnce.destroyed).toBe(true), 5_000);
      expect(calls).toBe(1);
      const later = open(port, request);
      await until(() => expect(calls).toBe(2));
      later.write(request);
      await until(() => expect(later.destroyed).toBe(true), 5_000);
      // Node answers a request without a host on its own.
      await once(open(port, `GET / HTTP/1.1\r\n\r\n${request}`), "close");
      expect(calls).toBe(2);
    } finally {
      held.open();
    }
  });

  it("keeps a connection whose client sends the next request right after an answer", async () => {
    const textOf = (context: Context) => "x".repeat(Number(context.req.param("size")));
    const app = new Hono()
      .get("/text/:size", (context) => context.body(textOf(context)))
      .get("/stream/:size", (context) => context.body(new Blob([textOf(context)]).stream()));
    const { port } = await start(app);
    const socket = open(port);
    for (let round = 0; round < 3; round += 1) {
      for (const size of [0, 1, 70_000, 4_000_000]) {
        for (const kind of ["text", "stream"]) {
          socket.write(`GET /${kind}/${size} HTTP/1.1\r\nhost: x\r\n\r\n`);
          expect(await receive(socket)).toBe("HTTP/1.1 200 OK");
        }
      }
    }
    socket.destroy();
  });

  it("closes a connection whose client takes nothing, and waits for the app and for streams", async () => {
    const held = gate();
    let ended = false;
    const app = new Hono()
      .get("/unread", (context) => {
        (context.env as HttpBindings).incoming.socket.once("close", () => {
          ended = true;
        });
        return context.body(large);
      })
      .get("/slow", async (context) => {
        await held.opened;
        return context.text("done");
      })
      .get("/stream", (context) =>
        stream(context, async (out) => {
          await out.write("first,");
          await held.opened;
          await out.write("last");
        }),
      );
    const { port } = await start(app, 50);
    const slow = fetch(`http://127.0.0.1:${port}/slow`);
    const streamed = await fetch(`http://127.0.0.1:${port}/stream`);
    open(port, "GET /unread HTTP/1.1\r\nhost: x\r\n\r\n").pause();
    try {
      await until(() => expect(ended).toBe(true), 5_000);
    } finally {
      held.open();
    }
    expect(await (await slow).text()).toBe("done");
    expect(await streamed.text()).toBe("first,last");
  });

  it.each([
    ["takes nothing", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"],
    ["sends a part of a request", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc"],
    ["sends nothing", ""],
  ])("does not wait for a client that %s before it closes", async (_name, request) => {
    const app = new Hono()
      .get("/", (context) => context.body(new Blob([large]).stream()))
      .post("/", async (context) => context.text(await context.req.text()))
      .onError((_, context) => context.text("ended", 400));
    const { port, close } = await start(app, 60_000);
    server = undefined;
    const socket = open(port, request).pause();
    await once(socket, "connect");
    await fetch(`http://127.0.0.1:${port}/nowhere`);
    await close();
  });

  describe("refuses dot segments, which a proxy could read in another way", () => {
    it.each([
      ["/v1/users/../x", 400],
      ["/v1/users/%2e%2e/x", 400],
      ["/v1/users/.%2E/x", 400],
      ["/v1/users/./x", 400],
      ["/v1/users/a%2f..%2fb", 400],
      ["/v1/users/..\\x", 400],
      ["/v1/users/..", 400],
      ["/v1/users/..x/.y", 200],
      ["/v1/users/x?next=/../", 200],
    ])("%s: %i", async (path, status) => {
      const { port } = await start(new Hono().get("*", (context) => context.text("served")));
      const socket = connect(port, "127.0.0.1");
      socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
      const [answer] = (await once(socket, "data")) as [Buffer];
      expect(answer.toString()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      socket.destroy();
    });
  });

  it("answers requests in progress before it closes and accepts no new ones", async () => {
    const held = gate();
    const arrived = gate();
    const app = new Hono().get("/", async (context) => {
      arrived.open();
      await held.opened;
      return context.text("done");
    });
    const { port, close } = await start(app);
    server = undefined;
    const agent = new Agent({ keepAlive: true });
    const answer = new Promise<string>((resolve, reject) => {
      get({ port, agent }, (response) => response.setEncoding("utf8").on("data", resolve)).on("error", reject);
    });
    await arrived.opened;
    const closed = close();
    await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow();
    held.open();
    expect(await answer).toBe("done");
    await closed;
    agent.destroy();
  });

  it("rejects with EADDRINUSE if the port is taken", async () => {
    const { port } = await start(new Hono());
    await expect(
      serve(new Hono(), { host: "127.0.0.1", port, requestTimeoutMs: 1_000, maxConnections: 10 }),
    ).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
  });
});
