import type { AddressInfo } from "node:net";
import express from "express";
import { kindlingExpress } from "kindling/express";
import { openKindling } from "./app-kindling.ts";
import { describeAdapter } from "./contract.ts";

// A program has one type of `req.kindling`: `examples/express` declares it, as an app does.
describeAdapter(
  "Express",
  async (env) => {
    const { kindling, close } = await openKindling(env);
    const flags = kindlingExpress({ kindling });
    const app = express().use(flags);
    app.get("/flags", async (req, res) => {
      await req.kindling();
      res.json(await req.kindling());
    });
    app.get("/admin", flags.require("admin"), async (req, res) => {
      res.send(`admin ${(await req.kindling()).userId}`);
    });
    app.get(
      "/active",
      flags.require(({ suspended }) => !suspended),
      (_req, res) => {
        res.send("active");
      },
    );
    app.get("/onboarding", flags.require("onboarded", { signIn: "/login", redirect: "/welcome" }), async (req, res) => {
      const { tier } = (await req.kindling()).flags;
      res.send(`tier ${tier satisfies "free" | "pro"}`);
    });
    // Express prints refusals unless NODE_ENV is test.
    const server = app.listen(0, "127.0.0.1");
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
