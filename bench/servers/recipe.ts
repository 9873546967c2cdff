import { decodeWebhook } from "@kinde/webhooks";
import { Queue } from "bullmq";
import { Hono } from "hono";
import { serve } from "../../src/http/serve.ts";
import { serveParent, setting } from "./parent.ts";

/** What Kinde's documentation shows: its decoder, which fetches the key set at every call, and one job. */
const domain = setting("BENCH_DOMAIN");
const queue = new Queue("recipe", { connection: { url: setting("BENCH_REDIS") } });
const app = new Hono();

app.post("/webhooks/kinde", async (context) => {
  const event = await decodeWebhook(await context.req.text(), domain);
  if (event === null) return context.json({ error: "refused" }, 400);
  await queue.add("event", event);
  return context.json({ status: "accepted" });
});

const server = await serve(app, { host: "127.0.0.1", port: 0, requestTimeoutMs: 10_000, maxConnections: 1_000 });
serveParent(server.port, () => queue.close());
