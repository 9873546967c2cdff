import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { kindlingHono } from "kindling/hono";
import { openKindling } from "./app-kindling.ts";
import { describeAdapter } from "./contract.ts";

describeAdapter(
  "Hono",
  async (env) => {
    const { kindling, close } = await openKindling(env);
    const flags = kindlingHono({ kindling });
    const app = new Hono()
      .use(flags)
      .get("/flags", async (c) => {
        await c.var.kindling();
        return c.json(await c.var.kindling());
      })
      .get("/admin", flags.require("admin"), async (c) => c.text(`admin ${(await c.var.kindling()).userId}`))
      .get(
        "/active",
        flags.require(({ suspended }) => !suspended),
        (c) => c.text("active"),
      )
      .get("/onboarding", flags.require("onboarded", { signIn: "/login", redirect: "/welcome" }), async (c) => {
        const { tier } = (await c.var.kindling()).flags;
        return c.text(`tier ${tier satisfies "free" | "pro"}`);
      });
    const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
    await new Promise((resolve) => server.once("listening", resolve));
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      close: () => {
        close();
        return new Promise((resolve) => server.close(() => resolve()));
      },
    };
  },
  { redirects: 303 },
);
