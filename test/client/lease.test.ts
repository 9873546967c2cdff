import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createPublicKeys } from "../../packages/kindling/src/keys.ts";
import { createLease } from "../../packages/kindling/src/reader/lease.ts";

type Listener = (...args: string[]) => void;

/** A subscriber whose PINGs are answered when the test says so. */
function open(leaseMs = 2_000) {
  const listeners = new Map<string, Listener>();
  const pings: ((answer: unknown) => void)[] = [];
  const commits: [string, number][] = [];
  const disconnect = vi.fn();
  const onLost = vi.fn();
  const subscriber = {
    on: (event: string, listener: Listener) => listeners.set(event, listener),
    subscribe: async () => 1,
    unsubscribe: async () => 1,
    psubscribe: vi.fn(async (_pattern: string) => 1),
    ping: () => new Promise((resolve) => pings.push(resolve)),
    disconnect,
  };
  const lease = createLease({
    redis: { get: async () => null, mget: async () => [], duplicate: () => subscriber as never },
    keys: createPublicKeys("kindling"),
    leaseMs,
    onCommit: (...commit) => commits.push(commit),
    onLost,
  });
  const emit = (event: string, ...args: string[]) => listeners.get(event)?.(...args);
  return { lease, subscriber, pings, commits, disconnect, onLost, emit };
}

beforeEach(() => vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] }));
afterEach(() => vi.useRealTimers());

const settle = () => vi.advanceTimersByTimeAsync(0);

describe("the lease on what is in memory", () => {
  it("begins when the PING was sent, not when it was answered", async () => {
    const { lease, pings } = open();
    await settle();
    const sent = performance.now();
    expect(lease?.isValid(sent)).toBe(false);
    await vi.advanceTimersByTimeAsync(1_500);
    pings[0]?.("PONG");
    await settle();
    expect(lease?.isValid(sent + 1_999)).toBe(true);
    expect(lease?.isValid(sent + 2_000)).toBe(false);
    lease?.close();
  });

  it("follows a step of the system's clock with the next answered PING", async () => {
    const { lease, pings } = open();
    const clock = vi.spyOn(Date, "now").mockReturnValue(5_000_000);
    await settle();
    pings[0]?.("PONG");
    await settle();
    const start = performance.now();
    expect(start + Number(lease?.epoch())).toBe(5_000_000);
    clock.mockReturnValue(9_000_000);
    await vi.advanceTimersByTimeAsync(500);
    expect(performance.now() + Number(lease?.epoch())).toBe(5_000_500);
    pings[1]?.("PONG");
    await settle();
    expect(performance.now() + Number(lease?.epoch())).toBe(9_000_000);
    clock.mockRestore();
    lease?.close();
  });

  it("is renewed four times in its length", async () => {
    const { lease, pings } = open();
    await settle();
    for (let beat = 0; beat < 8; beat += 1) {
      expect(pings).toHaveLength(beat + 1);
      pings[beat]?.("PONG");
      await vi.advanceTimersByTimeAsync(500);
      expect(lease?.isValid(performance.now())).toBe(true);
    }
    lease?.close();
  });

  it("ends with the connection, and ignores the answers of the last one", async () => {
    const { lease, pings, emit, onLost, subscriber } = open();
    await settle();
    pings[0]?.("PONG");
    await vi.advanceTimersByTimeAsync(500);
    const before = lease?.subscription();
    onLost.mockClear();
    emit("close");
    expect(onLost).toHaveBeenCalledOnce();
    expect(lease?.isValid(performance.now())).toBe(false);
    expect(lease?.subscription()).toBeUndefined();
    // ioredis sends a command that was under way again on the next connection.
    pings[1]?.("PONG");
    await settle();
    expect(lease?.isValid(performance.now())).toBe(false);
    emit("ready");
    await settle();
    expect(subscriber.psubscribe).toHaveBeenLastCalledWith("kindling:commits:*");
    expect(lease?.subscription()).not.toBe(before);
    pings[2]?.("PONG");
    await settle();
    expect(lease?.isValid(performance.now())).toBe(true);
    lease?.close();
  });

  it("replaces a connection that does not answer for five times its length", async () => {
    const { lease, disconnect } = open();
    await settle();
    await vi.advanceTimersByTimeAsync(9_999);
    expect(disconnect).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(disconnect).toHaveBeenCalledWith(true);
    lease?.close();
  });

  it("passes on the ticket of each commit, and takes what is not a ticket for a later one", async () => {
    const { lease, commits, emit } = open();
    emit("pmessage", "kindling:commits:*", "kindling:commits:{kp_1}", "17");
    emit("pmessage", "kindling:commits:*", "kindling:commits:{kp_2}", "now");
    expect(commits).toEqual([
      ["kp_1", 17],
      ["kp_2", Number.POSITIVE_INFINITY],
    ]);
    lease?.close();
  });

  it("leaves no timer behind", async () => {
    const { lease, pings } = open();
    await settle();
    pings[0]?.("PONG");
    await settle();
    lease?.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
