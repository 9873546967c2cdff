import { describeAdapter } from "./contract.ts";
import { type DevServer, startDevServer } from "./dev-server.ts";

let server: DevServer;

describeAdapter(
  "Next",
  async (env) => {
    const command = ["node_modules/next/dist/bin/next", "dev", "--hostname", "127.0.0.1", "--port", "0"] as const;
    server = await startDevServer({ app: "next-app", command, env });
    return server;
  },
  {
    redirects: 307,
    startTimeoutMs: 120_000,
    async edit() {
      await server.append("lib/flags.ts", 'console.log("evaluated again");\n');
      return server.prints(/evaluated again/);
    },
  },
);
