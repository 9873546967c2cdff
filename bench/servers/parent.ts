import type { FromChild } from "../support/child.ts";

/** Tells the benchmark that this process serves, answers what it has cost, and ends when the benchmark is gone. */
export function serveParent(port: number, close: () => Promise<void>): void {
  const send = (message: FromChild) => process.send?.(message);
  process.on("message", (message) => {
    if (message === "memory") {
      globalThis.gc?.();
      send({ type: "memory", bytes: process.memoryUsage().rss });
    }
    if (message !== "cpu") return;
    const { user, system } = process.cpuUsage();
    send({ type: "cpu", micros: user + system });
  });
  process.once("disconnect", () => {
    // Exits even where something is left open, or Redis is gone, and not before a profile is written.
    setTimeout(() => process.exit(), 10_000).unref();
    close().finally(() => process.exit());
  });
  send({ type: "ready", port });
}

/** A setting the benchmark passes. */
export function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is missing.`);
  return value;
}
