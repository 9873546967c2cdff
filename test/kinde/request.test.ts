import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { withDeadline } from "../../src/kinde/request.ts";

const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason));
  });

describe("a deadline", () => {
  it("aborts a task that takes too long", async () => {
    await expect(withDeadline(new AbortController().signal, 20, untilAborted)).rejects.toMatchObject({
      name: "TimeoutError",
    });
  });

  it("aborts a task with the reason of the given signal, even if that was aborted before", async () => {
    const stop = new AbortController();
    const running = withDeadline(stop.signal, 60_000, untilAborted);
    stop.abort(new Error("shutting down"));
    await expect(running).rejects.toThrow("shutting down");
    await expect(withDeadline(stop.signal, 60_000, untilAborted)).rejects.toThrow("shutting down");
  });

  it("removes its listener from the signal, whether the task succeeds or fails", async () => {
    const { signal } = new AbortController();
    expect(await withDeadline(signal, 60_000, async () => getEventListeners(signal, "abort").length)).toBe(1);
    await withDeadline(signal, 1, untilAborted).catch(() => undefined);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});
