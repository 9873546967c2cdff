import fastify from "fastify";
import { type ForRequest, kindlingFastify } from "kindling/fastify";
import { openKindling } from "./app-kindling.ts";
import { describeAdapter } from "./contract.ts";
import type definitions from "./definitions.ts";

declare module "fastify" {
  interface FastifyRequest {
    kindling: ForRequest<typeof definitions>;
  }
}

describeAdapter(
  "Fastify",
  async (env) => {
    const { kindling, close } = await openKindling(env);
    const flags = kindlingFastify({ kindling });
    const app = fastify();
    await app.register(flags);
    app.addHook("onClose", async () => close());
    app.get("/flags", async (request) => {
      await request.kindling();
      return request.kindling();
    });
    app.get("/admin", { preHandler: flags.require("admin") }, async (request) => {
      return `admin ${(await request.kindling()).userId}`;
    });
    app.get("/active", { preHandler: flags.require(({ suspended }) => !suspended) }, async () => "active");
    const preHandler = flags.require("onboarded", { signIn: "/login", redirect: "/welcome" });
    app.get("/onboarding", { preHandler }, async (request) => {
      const { tier } = (await request.kindling()).flags;
      return `tier ${tier satisfies "free" | "pro"}`;
    });
    return { url: await app.listen({ port: 0, host: "127.0.0.1" }), close: () => app.close() };
  },
  { redirects: 303 },
);
