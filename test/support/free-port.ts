import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/**
 * Returns a TCP port that is free now. Below those that the kernel hands out: between the look and the use, a server or a
 * connection of another test could get one of them.
 */
export function freePort(host = "127.0.0.1"): Promise<number> {
  const port = randomInt(20_000, 32_768);
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(freePort(host)) : reject(error),
    );
    probe.listen(port, host, () => probe.close(() => resolve(port)));
  });
}
