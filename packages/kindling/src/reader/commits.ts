import type { PublicKeys } from "../keys.ts";
import { type ReaderRedis, type Subscriber, unref } from "./redis.ts";

/** Notifies of commits. All callers share one connection, opened by the first. */
export interface Commits {
  /** Calls back on each commit of the user's record, from when `ready` resolves until `stop` or `close`. Never throws. */
  watch(userId: string, onCommit: () => void): { ready: Promise<unknown>; stop(): void };
  close(): void;
}

/** After this long without an answer to `SUBSCRIBE`, the connection is replaced: nothing else notices a peer that vanished. */
const unansweredMs = 10_000;

/** Creates notifications over Redis Pub/Sub; returns `undefined` for a client that cannot open a second connection. */
export function createCommits(redis: ReaderRedis, keys: Pick<PublicKeys, "commits">): Commits | undefined {
  if (redis.duplicate === undefined) return undefined;
  const watchers = new Map<string, { ready: Promise<unknown>; callbacks: Set<() => void> }>();
  let subscriber: Subscriber | undefined;
  let connected = false;
  let closed = false;

  const open = () => {
    const opened = redis.duplicate?.({
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      lazyConnect: false,
      // Subscribed below. If ioredis does, a refusal or a connection that closes meanwhile is an unhandled rejection.
      autoResubscribe: false,
    });
    if (opened === undefined) throw new Error("The Redis client returned no connection from duplicate().");
    // The client reconnects automatically. Callers that wait meanwhile have their own timeout.
    opened.on("error", () => undefined);
    opened.on("message", (channel) => {
      for (const callback of watchers.get(channel)?.callbacks ?? []) callback();
    });
    opened.on("close", () => {
      connected = false;
    });
    opened.on("ready", () => {
      connected = true;
      for (const channel of watchers.keys()) subscribe(channel).catch(() => undefined);
    });
    return opened;
  };
  // Async, so that a client that throws becomes a rejection; both send their command before they return.
  const subscribe = async (channel: string) => {
    // A read in progress can come here after `close`. Nobody would end its connection.
    if (closed) throw new Error("The reader is closed.");
    subscriber ??= open();
    const connection = subscriber;
    const timer = setTimeout(() => {
      // While it is connecting, ioredis has a time limit of its own.
      if (connected) connection.disconnect(true);
    }, unansweredMs);
    unref(timer);
    try {
      await connection.subscribe(channel);
    } finally {
      clearTimeout(timer);
    }
  };
  const unsubscribe = async (channel: string) => {
    await subscriber?.unsubscribe(channel);
  };

  return {
    watch(userId, onCommit) {
      const channel = keys.commits(userId);
      const watcher = watchers.get(channel) ?? { ready: subscribe(channel), callbacks: new Set() };
      watchers.set(channel, watcher);
      // Wrapped, so that a function that watches twice is called twice.
      const callback = () => onCommit();
      watcher.callbacks.add(callback);
      return {
        ready: watcher.ready,
        stop() {
          watcher.callbacks.delete(callback);
          if (watcher.callbacks.size > 0 || watchers.get(channel) !== watcher) return;
          watchers.delete(channel);
          unsubscribe(channel).catch(() => undefined);
        },
      };
    },
    close() {
      closed = true;
      subscriber?.disconnect();
      subscriber = undefined;
      watchers.clear();
    },
  };
}
