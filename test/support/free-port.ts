import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Options for {@link freePort}. */
export interface FreePortOptions {
  /** The port to take if it is free. */
  preferred?: number;
  /** Default: 127.0.0.1. */
  host?: string;
}

/**
 * Returns a TCP port that is free now. Any but the preferred one is below those that the kernel hands out: between the look
 * and the use, a server or a connection of another test could get one of them.
 */
export function freePort({ preferred, host = "127.0.0.1" }: FreePortOptions = {}): Promise<number> {
  const port = preferred ?? randomInt(20_000, 32_768);
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", ({ code }: NodeJS.ErrnoException) =>
      code === "EADDRINUSE" || code === "EACCES"
        ? resolve(freePort({ host }))
        : reject(new Error(`No port of ${host} can be used: ${code}.`)),
    );
    probe.listen(port, host, () => probe.close(() => resolve(port)));
  });
}
