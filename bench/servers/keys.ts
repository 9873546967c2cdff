import { createServer } from "node:http";
import { serveParent, setting } from "./parent.ts";

/** The tenant's key set, as near and as fast as a key server can be. */
const body = setting("BENCH_KEYS");
const server = createServer((_, response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  serveParent(typeof address === "object" && address !== null ? address.port : 0, async () => {
    server.closeAllConnections();
    server.close();
  });
});
