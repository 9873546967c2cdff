import { Hono } from "hono";
import { Redis } from "ioredis";
import { serve } from "../../src/http/serve.ts";
import { serveParent, setting } from "./parent.ts";

/** The least there can be: no token, no definitions, one `GET`. */
const redis = new Redis(setting("BENCH_REDIS"), { enableAutoPipelining: true });
const app = new Hono();

app.get("/v1/users/:id/flags", async (context) => {
  const text = await redis.get(`kindling:flags:{${context.req.param("id")}}`);
  return context.json(JSON.parse(text ?? "null"));
});

const server = await serve(app, { host: "127.0.0.1", port: 0, requestTimeoutMs: 10_000, maxConnections: 1_000 });
serveParent(server.port, async () => redis.disconnect());
