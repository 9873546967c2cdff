/**
 * The part of a Redis client that a reader uses. Clients of ioredis 5 and 6 fit as they are; others fit through a small
 * adapter.
 *
 * @example An adapter for node-redis. It has no `duplicate`, so reads never wait for a refresh.
 * ```ts
 * import type { ReaderRedis } from "kindling";
 * import { createClient } from "redis";
 *
 * const client = await createClient({ url: process.env.REDIS_URL }).on("error", console.error).connect();
 *
 * const redis: ReaderRedis = {
 *   get: (key) => client.get(key),
 *   mget: (keys) => client.mGet(keys),
 *   zadd: (key, ...args) => client.sendCommand(["ZADD", key, ...args.map(String)]),
 * };
 * ```
 */
export interface ReaderRedis {
  get(key: string): Promise<string | null>;
  /** Used by `getMany`. If it is absent, each key is read with `get`: a cluster refuses keys of different hash slots. */
  mget?(keys: string[]): Promise<(string | null)[]>;
  /**
   * Records refresh requests. If it is absent or fails, the reader only reads. `GT` needs Redis 6.2 or later
   * (https://redis.io/docs/latest/commands/zadd/).
   */
  zadd?(key: string, greater: "GT", ...scoresAndMembers: (number | string)[]): Promise<unknown>;
  /**
   * Opens a second connection, to be notified of commits: a connection that subscribes can run few other commands
   * (https://redis.io/docs/latest/develop/pubsub/). If it is absent, the reader never waits for a refresh.
   */
  duplicate?(options: {
    enableOfflineQueue: true;
    maxRetriesPerRequest: null;
    lazyConnect: false;
    autoResubscribe?: false;
  }): Subscriber;
}

/** A connection that receives Pub/Sub messages. Reconnects are automatic. The reader opens one when it first waits, and another one for its cache. */
export interface Subscriber {
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "pmessage", listener: (pattern: string, channel: string, message: string) => void): unknown;
  /** `ready`: connected, also again. `close`: the connection is lost. */
  on(event: "ready" | "close", listener: () => void): unknown;
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  /** Needed by {@link ReaderOptions.cache}, together with `ping`. */
  psubscribe?(pattern: string): Promise<unknown>;
  /** Must use the connection that receives the messages. */
  ping?(): Promise<unknown>;
  /** @param reconnect Whether to connect again */
  disconnect(reconnect?: boolean): void;
}

/** Returns whether Redis denied a command: asking again is pointless. https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/ */
export function isPermissionDenied(error: unknown): boolean {
  return error instanceof Error && error.message.includes("NOPERM");
}

/** Lets the process end while the timer runs. Browsers have no such thing. */
export function unref(timer: unknown): void {
  (timer as { unref?: () => void }).unref?.();
}

/** What {@link within} resolves to when there is no answer in time. */
export const nothing = Symbol("nothing");

/** A longer timer fires at once. */
export const longestTimer = 2 ** 31 - 1;

/** Resolves to the answer, or to `nothing` if the call fails or takes longer than `ms`. Never rejects. */
export function within<T>(ms: number, call: () => Promise<T>): Promise<T | typeof nothing> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.min(ms, longestTimer), nothing);
    const end = (answer: T | typeof nothing) => {
      clearTimeout(timer);
      resolve(answer);
    };
    try {
      call().then(end, () => end(nothing));
    } catch {
      end(nothing);
    }
  });
}
