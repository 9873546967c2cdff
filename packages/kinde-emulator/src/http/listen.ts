import { createAdaptorServer, type HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import { EmulatorError } from "../emulator-error.ts";

export interface Listening {
  port: number;
  /** Stops listening and destroys all sockets. */
  close(): Promise<void>;
}

/** Serves `app`. Rejects with Node's error, such as `EADDRINUSE`, if the address is not available. */
export async function listen(app: Hono<{ Bindings: HttpBindings }>, host: string, port: number): Promise<Listening> {
  const server = createAdaptorServer({ fetch: app.fetch });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string")
    throw new EmulatorError("emulator_no_port", "The server was not assigned a TCP port.");
  return {
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      }),
  };
}
