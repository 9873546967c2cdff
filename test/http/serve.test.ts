import { once } from "node:events";
import { Agent, get } from "node:http";
import { connect } from "node:net";
import { Hono } from "hono";
import { afterEach, describe, expect, it } from "vitest";
import { type Server, serve } from "../../src/http/serve.ts";

let server: Server | undefined;

afterEach(async () => {
  await server?.close();
  server = undefined;
});

const start = async (app: Hono, requestTimeoutMs = 5_000, maxConnections = 100) => {
  server = await serve(app, { host: "127.0.0.1", port: 0, requestTimeoutMs, maxConnections });
  return server;
};

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
    let finish = () => {};
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const app = new Hono().get("/", async (context) => {
      arrived();
      await held;
      return context.text("done");
    });
    const { port, close } = await start(app);
    server = undefined;
    const agent = new Agent({ keepAlive: true });
    const answer = new Promise<string>((resolve, reject) => {
      get({ port, agent }, (response) => response.setEncoding("utf8").on("data", resolve)).on("error", reject);
    });
    await arrival;
    const closed = close();
    await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow();
    finish();
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
