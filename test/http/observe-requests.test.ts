import { Hono } from "hono";
import { expect, it } from "vitest";
import { observeRequests } from "../../src/http/observe-requests.ts";

function appWith({ logShare = 0, random = Math.random } = {}) {
  const counted: string[] = [];
  const lines: object[] = [];
  const observe = observeRequests({
    count: (route, status) => counted.push(`${route} ${status}`),
    log: { info: (fields, message) => lines.push({ ...fields, message }) },
    logShare,
    random,
  });
  const routes = new Hono()
    .get("/users/:id/flags/:key{[a-z]+}", (context) => context.text("ok"))
    .post("/broken", () => {
      throw new Error("broken");
    });
  const app = new Hono().use(observe).route("/", routes);
  app.onError((_, context) => context.text("failed", 500));
  return { app, counted, lines };
}

it("counts answers by the pattern of their route, never by a path", async () => {
  const { app, counted } = appWith();
  await app.request("/users/kp_secret/flags/tier?token=secret");
  await app.request("/broken", { method: "POST" });
  await app.request("/made-up/path");
  await app.request("/broken", { method: "DELETE" });
  expect(counted).toEqual(["GET /users/{id}/flags/{key} 200", "POST /broken 500", "other 404", "other 404"]);
});

it("logs the share of requests it is told to", async () => {
  let drawn = 0;
  const random = () => (drawn++ % 10) / 10;
  const { app, lines } = appWith({ logShare: 0.2, random });
  for (let n = 0; n < 20; n += 1) await app.request("/users/kp_secret/flags/tier?token=secret");
  expect(lines).toHaveLength(4);
  expect(lines[0]).toEqual({
    route: "GET /users/{id}/flags/{key}",
    status: 200,
    ms: expect.any(Number),
    message: "request",
  });
});

it.each([
  [0, 0],
  [1, 20],
])("with a share of %d logs %d of 20 requests", async (logShare, expected) => {
  const { app, lines } = appWith({ logShare });
  for (let n = 0; n < 20; n += 1) await app.request("/nowhere");
  expect(lines).toHaveLength(expected);
});
