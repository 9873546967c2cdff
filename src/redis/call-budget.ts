import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { ThrottledError } from "../errors.ts";
import type { CallBudget, Priority } from "../kinde/call-budget.ts";
import type { Keys } from "./keys.ts";
import { defineScript } from "./script.ts";

/** The same, once it has begun: until when by `performance.now()`. */
interface Wait {
  signal: AbortSignal | undefined;
  deadline: number;
}

/** Options for {@link createCallBudget}. */
export interface CallBudgetOptions {
  redis: Redis;
  keys: Keys;
  perMinute: number;
  atOnce: number;
  /** After so long a call counts as over even if its process died, in milliseconds: above the call's own time-out. */
  leaseMs: number;
}

// A token bucket, leases for calls under way, and the end of a pause, in one round trip.
// Bulk work must leave a quarter of both, so that webhook-driven refreshes never wait behind it.
const takeScript = defineScript(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local perMinute, atOnce, bulk = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'bulk'
local state = redis.call('HMGET', KEYS[1], 'level', 'at', 'pausedUntil')
local pausedUntil = tonumber(state[3] or '0')
-- Full bucket and refill together come to the figure in any minute: ten seconds' worth may go at once, half at most.
local capacity = math.max(1, math.min(math.max(atOnce, perMinute / 6), perMinute / 2))
local rate = math.max(perMinute - capacity, perMinute / 2) / 60000
-- Redis' clock may step back at a failover.
local passed = math.max(0, now - tonumber(state[2] or now))
local level = math.min(capacity, tonumber(state[1] or capacity) + passed * rate)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local inUse = redis.call('ZCARD', KEYS[2])
if ARGV[3] == 'look' then
  return { math.ceil(math.max(0, pausedUntil - now)), inUse, math.floor(math.max(0, math.min(level, atOnce - inUse))) }
end
if pausedUntil > now then return { 'paused', math.ceil(pausedUntil - now) } end
local needed = 1
local room = atOnce
if bulk then
  needed = math.min(capacity, 1 + capacity / 4)
  room = math.max(1, math.floor(atOnce * 3 / 4))
end
if level < needed then return { 'rate', math.ceil((needed - level) / rate) } end
if inUse >= room then return { 'full', 25 } end
redis.call('HSET', KEYS[1], 'level', tostring(level - 1), 'at', string.format('%.3f', now))
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[5]), ARGV[4])
return { 'granted', 0 }
`);

const pauseScript = defineScript(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local pausedUntil = math.max(tonumber(redis.call('HGET', KEYS[1], 'pausedUntil') or '0'), now + tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'pausedUntil', string.format('%.0f', pausedUntil))
return 1
`);

/** The budget, shared through Redis by every process that uses the same keys and figures. */
export function createCallBudget(options: CallBudgetOptions): CallBudget {
  const { redis, keys, perMinute, atOnce, leaseMs } = options;
  const leases = `${keys.callBudget}:leases`;
  const names = [keys.callBudget, leases];
  // One waiter of a process asks at a time, for each priority; the rest queue behind it in memory.
  const turns: Record<Priority, Promise<void>> = { webhook: Promise.resolve(), bulk: Promise.resolve() };
  const waiters = new Set<() => void>();
  const usualPatienceMs = Math.max(2_000, 8 * (60_000 / perMinute));

  const take = async (priority: Priority, lease: string, { deadline, signal }: Wait) => {
    for (;;) {
      signal?.throwIfAborted();
      const answer = await takeScript(redis, names, [perMinute, atOnce, priority, lease, leaseMs]);
      const [verdict, waitMs] = answer as [string, number];
      if (verdict === "granted") return;
      if (performance.now() + waitMs > deadline) throw new ThrottledError(waitMs);
      await waitFor(waitMs, signal, (end) => waiters.add(end));
    }
  };

  // Ends when the time is over or the signal says so, or earlier, when told to: the caller looks again either way. The
  // listener is taken off again: `AbortSignal.any` would leave a little of each wait behind on a long-lived signal.
  const waitFor = (waitMs: number, signal: AbortSignal | undefined, onBegin: (end: () => void) => void) =>
    new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        waiters.delete(end);
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, waitMs);
      signal?.addEventListener("abort", end);
      onBegin(end);
      // An aborted signal tells nobody any more.
      if (signal?.aborted) end();
    });

  // Whose time is over before their turn leave the queue, which closes up behind them, and ask once for themselves: they
  // may be in luck, and otherwise hear from Redis when to come again. So patience bounds the wait, however patient those
  // in front are, and nobody goes away without having asked.
  const inTurn = async (priority: Priority, { deadline, signal }: Wait, task: () => Promise<void>) => {
    const before = turns[priority];
    let leave = () => {};
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    turns[priority] = before.then(() => left);
    try {
      await waitFor(deadline - performance.now(), signal, (end) => void before.then(end));
      await task();
    } finally {
      leave();
    }
  };

  return {
    async run(priority, call, { signal, patienceMs = usualPatienceMs } = {}) {
      const lease = randomUUID();
      const wait = { signal, deadline: performance.now() + patienceMs };
      await inTurn(priority, wait, () => take(priority, lease, wait));
      try {
        return await call();
      } finally {
        // Not waited for: a lease that stays behind ends by itself.
        redis.zrem(leases, lease).then(
          () => {
            for (const wake of waiters) wake();
          },
          () => undefined,
        );
      }
    },

    async pause(ms) {
      await pauseScript(redis, [keys.callBudget], [Math.ceil(ms)]);
    },

    async state() {
      const answer = await takeScript(redis, names, [perMinute, atOnce, "look", "", 0]);
      const [pausedMs, inUse, available] = answer as [number, number, number];
      return { pausedMs, inUse, available };
    },
  };
}
