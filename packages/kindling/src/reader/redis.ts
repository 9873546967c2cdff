/** What the reader uses of a Redis client; ioredis has it all. */
export interface ReaderRedis {
  get(key: string): Promise<string | null>;
  mget(keys: string[]): Promise<(string | null)[]>;
  /** To ask for a refresh; without it, or without the permission, the reader only reads. */
  zadd?(key: string, greater: "GT", ...scoresAndMembers: (number | string)[]): Promise<unknown>;
  /** A connection of the reader's own, to be told of commits; without it the reader waits for none. */
  duplicate?(options: { enableOfflineQueue: true; maxRetriesPerRequest: null; lazyConnect: false }): Subscriber;
}

/** A connection that is told of messages. */
export interface Subscriber {
  on(event: "message", listener: (channel: string, message: string) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  disconnect(): void;
}

/** What {@link within} answers when nothing came in time. */
export const nothing = Symbol("nothing");

/** The answer, or `nothing` when it fails or takes longer than `ms`. Never rejects. */
export function within<T>(ms: number, ask: () => Promise<T>): Promise<T | typeof nothing> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, nothing);
    const end = (answer: T | typeof nothing) => {
      clearTimeout(timer);
      resolve(answer);
    };
    try {
      ask().then(end, () => end(nothing));
    } catch {
      end(nothing);
    }
  });
}
