import type { PublicKeys } from "../keys.ts";
import type { ReaderRedis, Subscriber } from "./redis.ts";

/** Tells of commits, over one connection however many wait; it is opened when the first one does. */
export interface Commits {
  /** Calls back at each commit of the user's record, from when `ready` resolves until `stop`. */
  watch(userId: string, onCommit: () => void): { ready: Promise<unknown>; stop(): void };
  close(): void;
}

/** Commits as Redis publishes them; `undefined` for a client that cannot be told. */
export function createCommits(redis: ReaderRedis, keys: Pick<PublicKeys, "commits">): Commits | undefined {
  if (redis.duplicate === undefined) return undefined;
  const watchers = new Map<string, { ready: Promise<unknown>; callbacks: Set<() => void> }>();
  let subscriber: Subscriber | undefined;

  const open = () => {
    const opened = redis.duplicate?.({ enableOfflineQueue: true, maxRetriesPerRequest: null, lazyConnect: false });
    if (opened === undefined) throw new Error("this client cannot be duplicated");
    // It reconnects by itself, and who waits meanwhile has a time-out.
    opened.on("error", () => undefined);
    opened.on("message", (channel) => {
      for (const callback of watchers.get(channel)?.callbacks ?? []) callback();
    });
    return opened;
  };

  return {
    watch(userId, onCommit) {
      subscriber ??= open();
      const connection = subscriber;
      const channel = keys.commits(userId);
      const watcher = watchers.get(channel) ?? { ready: connection.subscribe(channel), callbacks: new Set() };
      watchers.set(channel, watcher);
      // A callback of its own, as one function may watch twice.
      const callback = () => onCommit();
      watcher.callbacks.add(callback);
      return {
        ready: watcher.ready,
        stop() {
          watcher.callbacks.delete(callback);
          if (watcher.callbacks.size > 0 || watchers.get(channel) !== watcher) return;
          watchers.delete(channel);
          connection.unsubscribe(channel).catch(() => undefined);
        },
      };
    },
    close() {
      subscriber?.disconnect();
      subscriber = undefined;
      watchers.clear();
    },
  };
}
