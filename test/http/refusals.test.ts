import { Hono } from "hono";
import { beforeEach, expect, it } from "vitest";
import type { Refusal } from "../../src/http/body.ts";
import { createRefusals, type Refusals } from "../../src/http/refusals.ts";

const forged: Refusal = { route: "POST /x", status: 401, code: "forged", message: "Not signed." };
const broken: Refusal = {
  route: "POST /x",
  status: 503,
  code: "broken",
  message: "Try again.",
  cause: new Error("no"),
};

let clock: number;
let lines: Record<string, unknown>[];
let counted: Record<string, number>;
let refusals: Refusals;
let send: (address: string, refusal?: Refusal) => Promise<Response>;

beforeEach(() => {
  clock = 1_000_000;
  lines = [];
  counted = {};
  refusals = createRefusals({
    clientAddress: (context) => context.req.header("address") ?? "unknown",
    perMinute: 5,
    count: (kind) => {
      counted[kind] = (counted[kind] ?? 0) + 1;
    },
    log: { warn: (fields, message) => lines.push({ ...fields, says: message }) },
    now: () => clock,
  });
  send = async (address, refusal = forged) =>
    new Hono().get("/", (context) => refusals.refuse(context, refusal)).request("/", { headers: { address } });
});

it("logs the first refusal of each kind in a minute, and one line about the others", async () => {
  for (let n = 0; n < 1_000; n += 1) await send(`192.0.2.${n % 7}`);
  await send("192.0.2.8", broken);
  expect(lines).toEqual([
    {
      route: "POST /x",
      status: 401,
      code: "forged",
      address: "192.0.2.0",
      message: "Not signed.",
      says: "request refused",
    },
    expect.objectContaining({ code: "broken", status: 503, cause: { code: "unexpected" } }),
  ]);
  clock += 60_000;
  await send("192.0.2.1");
  expect(lines.slice(2)).toEqual([
    { refused: { "POST /x:forged": 999 }, sources: 7, says: "further requests refused" },
    expect.objectContaining({ code: "forged", address: "192.0.2.1" }),
  ]);
});

it("counts each refusal, and logs what is not logged yet when it closes", async () => {
  for (let n = 0; n < 3; n += 1) await send("192.0.2.1");
  refusals.close();
  expect(lines.at(-1)).toMatchObject({ refused: { "POST /x:forged": 2 } });
  expect(counted).toEqual({ "POST /x:forged": 3 });
});

it("answers 429 with Retry-After to a source that was refused too often, until the minute is over", async () => {
  for (let n = 0; n < 5; n += 1) expect((await send("192.0.2.1")).status).toBe(401);
  clock += 20_000;
  const limited = await send("192.0.2.1");
  expect({ status: limited.status, after: limited.headers.get("retry-after") }).toEqual({ status: 429, after: "40" });
  expect(await limited.json()).toMatchObject({ error: { code: "too_many_requests" } });
  expect((await send("192.0.2.2")).status).toBe(401);
  clock += 40_000;
  expect((await send("192.0.2.1")).status).toBe(401);
});

it("limits a whole /64 network of IPv6, and nobody for failures of ours", async () => {
  for (let n = 0; n < 5; n += 1) await send(`2001:db8::${n}`);
  expect((await send("2001:db8::ffff")).status).toBe(429);
  expect((await send("2001:db8:0:1::1")).status).toBe(401);
  for (let n = 0; n < 10; n += 1) expect((await send("192.0.2.1", broken)).status).toBe(503);
});

it("holds a bounded number of sources, and lets all further ones share one limit", async () => {
  for (let n = 0; n < 10_000; n += 1) await send(`10.0.${n >> 8}.${n & 255}`);
  for (let n = 0; n < 5; n += 1) expect((await send(`10.1.0.${n}`)).status).toBe(401);
  expect((await send("10.1.0.9")).status).toBe(429);
  expect((await send("10.0.0.1")).status).toBe(401);
  clock += 60_000;
  await send("10.0.0.1");
  expect(lines).toContainEqual(expect.objectContaining({ sources: 10_001 }));
});

it("starts a new minute if the clock steps back", async () => {
  for (let n = 0; n < 6; n += 1) await send("192.0.2.1");
  clock -= 3_600_000;
  expect((await send("192.0.2.1")).status).toBe(401);
});
