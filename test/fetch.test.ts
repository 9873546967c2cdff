import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, expect, it } from "vitest";
import { createFetch, type FetchAnswer } from "../src/fetch.ts";
import { until } from "./support/until.ts";

const fetch = createFetch();
let server: Server;

async function serve(answer: RequestListener): Promise<string> {
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const request = { redirect: "error", signal: new AbortController().signal } as const;

async function read({ body }: FetchAnswer): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body ?? []) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

it("sends method, headers and body, and returns status, headers and body", async () => {
  const url = await serve(async (incoming, response) => {
    let body = "";
    for await (const chunk of incoming) body += chunk;
    response.writeHead(201, { "x-answer": "yes" });
    response.end(`${incoming.method} ${incoming.url} ${incoming.headers["x-name"]} ${body}`);
  });
  const sent = { ...request, method: "POST", headers: { "x-name": "v" }, body: "text" } as const;
  const answer = await fetch(`${url}path?query=1`, sent);
  expect(answer).toMatchObject({ status: 201, ok: true });
  expect([answer.headers.get("x-answer"), answer.headers.get("x-other")]).toEqual(["yes", null]);
  expect(await read(answer)).toBe("POST /path?query=1 v text");
});

it("unpacks a body, and fails if it ends early", async () => {
  const packed = gzipSync("text".repeat(1000));
  const url = await serve((incoming, response) => {
    response.writeHead(200, { "content-encoding": "gzip" });
    response.end(incoming.url === "/half" ? packed.subarray(0, packed.length / 2) : packed);
  });
  expect(await read(await fetch(url, request))).toHaveLength(4000);
  await expect(read(await fetch(`${url}half`, request))).rejects.toThrow();
});

it("returns a redirect or fails, and never follows it", async () => {
  const paths: unknown[] = [];
  const url = await serve((incoming, response) => {
    paths.push(incoming.url);
    response.writeHead(302, { location: "/elsewhere" }).end();
  });
  await expect(fetch(url, request)).rejects.toThrow("redirect");
  expect((await fetch(url, { ...request, redirect: "manual" })).status).toBe(302);
  expect(paths).toEqual(["/", "/"]);
});

it("rejects with the reason of the signal before, during and after the headers", async () => {
  let asked = () => {};
  const url = await serve((incoming, response) => {
    if (incoming.url === "/body") response.writeHead(200).write("first");
    asked();
  });
  const stopping = () => {
    const controller = new AbortController();
    const arrived = new Promise<void>((resolve) => {
      asked = resolve;
    });
    return { arrived, signal: controller.signal, stop: () => controller.abort(new Error("stopped")) };
  };
  const before = stopping();
  before.stop();
  await expect(fetch(url, { ...request, signal: before.signal })).rejects.toThrow("stopped");
  const during = stopping();
  const unanswered = fetch(url, { ...request, signal: during.signal });
  await during.arrived;
  during.stop();
  await expect(unanswered).rejects.toThrow("stopped");
  const after = stopping();
  const half = await fetch(`${url}body`, { ...request, signal: after.signal });
  after.stop();
  await expect(read(half)).rejects.toThrow("stopped");
});

it("stops receiving while nobody reads, and closes the connection of a body that is left", async () => {
  let sent = 0;
  let closed = () => {};
  const gone = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const url = await serve((_incoming, response) => {
    response.on("close", closed);
    const send = () => {
      do sent += 65_536;
      while (response.write(Buffer.alloc(65_536)) && sent < 200_000_000);
    };
    response.on("drain", send);
    send();
  });
  const { body } = await fetch(url, request);
  // As much as the buffers on the way hold.
  let before = 0;
  await until(() => {
    const same = sent === before;
    before = sent;
    expect(same).toBe(true);
  });
  for await (const _chunk of body ?? []) break;
  await gone;
  expect(sent).toBeLessThan(100_000_000);
});
