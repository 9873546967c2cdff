import { describeAdapter } from "./contract.ts";
import { type DevServer, startDevServer } from "./dev-server.ts";

let server: DevServer;

describeAdapter(
  "SvelteKit",
  async (env) => {
    const command = ["node_modules/vite/bin/vite.js", "dev", "--host", "127.0.0.1", "--port", "0"] as const;
    server = await startDevServer({ app: "sveltekit-app", command, env });
    return server;
  },
  {
    redirects: 303,
    startTimeoutMs: 120_000,
    async edit() {
      await server.append("src/lib/server/kindling.ts", 'console.log("evaluated again");\n');
      return server.prints(/evaluated again/);
    },
  },
);
