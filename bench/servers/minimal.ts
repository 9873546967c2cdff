import { Queue } from "bullmq";
import { Hono } from "hono";
import { createLocalJWKSet, jwtVerify } from "jose";
import { serve } from "../../src/http/serve.ts";
import { serveParent, setting } from "./parent.ts";

/** What one writes by hand in ten lines: keys in memory, one verification, one job. */
const keys = createLocalJWKSet(JSON.parse(setting("BENCH_KEYS")));
const queue = new Queue("minimal", { connection: { url: setting("BENCH_REDIS") } });
const app = new Hono();

app.post("/webhooks/kinde", async (context) => {
  const token = await context.req.text();
  try {
    const { payload } = await jwtVerify(token, keys);
    await queue.add("event", payload);
    return context.json({ status: "accepted" });
  } catch {
    return context.json({ error: "refused" }, 400);
  }
});

const server = await serve(app, { host: "127.0.0.1", port: 0, requestTimeoutMs: 10_000, maxConnections: 1_000 });
serveParent(server.port, () => queue.close());
