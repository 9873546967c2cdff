import { vi } from "vitest";

/** Waits until the assertions hold. */
export function until<T>(assertions: () => T | Promise<T>, timeout = 25_000): Promise<T> {
  return vi.waitFor(assertions, { timeout, interval: 20 });
}
