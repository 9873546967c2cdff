import { Interrupted, type Terminal } from "./terminal.ts";

/** The process itself as a terminal. */
export function createProcessTerminal(process: NodeJS.Process): Terminal {
  let stopping: AbortController | undefined;
  const listen = () => {
    const controller = new AbortController();
    const stop = (name: "SIGINT" | "SIGTERM") => () => {
      const reason = new Interrupted(name);
      if (controller.signal.aborted) process.exit(reason.exitCode);
      controller.abort(reason);
    };
    process.on("SIGINT", stop("SIGINT"));
    process.on("SIGTERM", stop("SIGTERM"));
    return controller;
  };
  // `kindling failed | head` closes the pipe early: nobody reads any more, which is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  return {
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    world: { fetch, now: Date.now },
    stopSignal() {
      stopping ??= listen();
      return stopping.signal;
    },
  };
}
