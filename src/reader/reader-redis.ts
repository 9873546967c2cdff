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
