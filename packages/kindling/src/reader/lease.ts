import type { PublicKeys } from "../keys.ts";
import { nothing, type ReaderRedis, type Subscriber, unref, within } from "./redis.ts";

/** Says for how long this process is known to have heard of every commit. */
export interface Lease {
  /** Whether, at this time of `performance.now()`, every commit older than the lease's length has been heard. */
  isValid(time: number): boolean;
  /** When `performance.now()` was 0, in milliseconds since the epoch, as the last answered `PING` found it. */
  epoch(): number;
  /** Number of the current subscription; `undefined` without one. What was read under another one may have missed commits. */
  subscription(): number | undefined;
  close(): void;
}

/** Options for {@link createLease}. */
export interface LeaseOptions {
  redis: ReaderRedis;
  keys: Pick<PublicKeys, "commits" | "commitsPattern">;
  /** Length of the lease, in milliseconds. */
  leaseMs: number;
  /** Called with each commit. A message that is not a ticket counts as later than every ticket. */
  onCommit: (userId: string, ticket: number) => void;
  /** Called when commits may be missed from now on. */
  onLost: () => void;
}

/** Pings per lease: one that is late does not end it. */
const pingsPerLease = 4;
/** After this many leases without an answer, the connection is replaced: nothing else notices a peer that vanished. */
const patience = 5;

/**
 * Subscribes to all commits on a connection of its own. A `PING` on the same connection proves that every message
 * published before it has arrived: Redis sends both in order. The lease counts from when the `PING` was sent.
 *
 * @returns `undefined` for a client that cannot open such a connection
 */
export function createLease({ redis, keys, leaseMs, onCommit, onLost }: LeaseOptions): Lease | undefined {
  const subscriber = openSubscriber(redis);
  if (subscriber === undefined) return undefined;
  const head = keys.commits("").slice(0, -1);
  let attempt = 0;
  let subscribed = false;
  let validUntil = Number.NEGATIVE_INFINITY;
  let epoch = performance.timeOrigin;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const lose = () => {
    attempt += 1;
    subscribed = false;
    validUntil = Number.NEGATIVE_INFINITY;
    clearTimeout(timer);
    onLost();
  };
  const beat = async (mine: number) => {
    const sent = performance.now();
    let failed = false;
    const answer = await within(leaseMs * patience, async () => {
      try {
        return await subscriber.ping();
      } catch {
        failed = true;
      }
    });
    if (mine !== attempt) return;
    if (answer === nothing) return subscriber.disconnect(true);
    if (!failed) {
      validUntil = sent + leaseMs;
      epoch = Date.now() - performance.now();
    }
    timer = setTimeout(() => void beat(mine), leaseMs / pingsPerLease);
    unref(timer);
  };
  const subscribe = async () => {
    lose();
    const mine = attempt;
    try {
      await subscriber.psubscribe(keys.commitsPattern);
    } catch {
      // Denied, or the connection broke: the next connection tries again.
      return;
    }
    if (mine !== attempt) return;
    subscribed = true;
    await beat(mine);
  };

  // The client reconnects automatically. Until it has, reads go to Redis.
  subscriber.on("error", () => undefined);
  subscriber.on("close", lose);
  subscriber.on("ready", () => void subscribe());
  subscriber.on("pmessage", (_pattern, channel, message) => {
    const ticket = Number(message);
    onCommit(channel.slice(head.length, -1), Number.isFinite(ticket) ? ticket : Number.POSITIVE_INFINITY);
  });
  void subscribe();

  return {
    isValid: (time) => time < validUntil,
    epoch: () => epoch,
    subscription: () => (subscribed ? attempt : undefined),
    close() {
      lose();
      subscriber.disconnect();
    },
  };
}

type PatternSubscriber = Subscriber & Required<Pick<Subscriber, "psubscribe" | "ping">>;

function openSubscriber(redis: ReaderRedis): PatternSubscriber | undefined {
  let opened: (Subscriber & { isCluster?: boolean }) | undefined;
  try {
    opened = redis.duplicate?.({
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      lazyConnect: false,
      // The lease subscribes itself. If ioredis does, a connection that closes meanwhile leaves an unhandled rejection.
      autoResubscribe: false,
    });
  } catch {
    return undefined;
  }
  // A cluster client sends PING on another connection than the one that receives the messages.
  if (opened?.psubscribe !== undefined && opened.ping !== undefined && opened.isCluster !== true)
    return opened as PatternSubscriber;
  opened?.disconnect?.();
  return undefined;
}
