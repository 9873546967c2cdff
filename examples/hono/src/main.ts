import { serve } from "@hono/node-server";
import { app } from "./app.js";

serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 5173) }, ({ port }) => {
  console.log(`Notes: http://localhost:${port}`);
});
