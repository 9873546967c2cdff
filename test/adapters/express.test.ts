import type { AddressInfo } from "node:net";
import express, { type ErrorRequestHandler, type RequestHandler } from "express";
import { kindlingExpress } from "kindling/express";
import { expect, it } from "vitest";
import { until } from "../support/until.ts";
import { openKindling } from "./app-kindling.ts";
import { describeAdapter } from "./contract.ts";

let url = "";
const errors: unknown[] = [];

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
    const answered: RequestHandler = (_req, res, next) => {
      res.send("answered");
      next();
    };
    app.get("/answered", answered, flags.require("admin", { signIn: "/login" }));
    const collect: ErrorRequestHandler = (error, req, _res, next) => {
      if (req.path === "/answered") errors.push(error);
      else next(error);
    };
    app.use(collect);
    // Express prints refusals unless NODE_ENV is test.
    const server = app.listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return {
      url,
      close: () => {
        close();
        return new Promise((resolve) => server.close(() => resolve()));
      },
    };
  },
  {
    redirects: 303,
    further: () => {
      it("passes on that a guard cannot redirect, because something else has answered", async () => {
        expect(await (await fetch(`${url}/answered`)).text()).toBe("answered");
        await until(() => expect(errors).toEqual([expect.objectContaining({ code: "ERR_HTTP_HEADERS_SENT" })]));
      });
    },
  },
);
