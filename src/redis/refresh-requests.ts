import type { Redis } from "ioredis";
import { z } from "zod";
import { userId as userIdSchema } from "../kinde/ids.ts";
import { isCluster, type RedisClient } from "./client.ts";
import type { Counters } from "./counters.ts";
import type { Keys } from "./keys.ts";
import { readClock } from "./ledger-scripts.ts";
import { defineScript } from "./script.ts";

/** A reader's request to have a user refreshed. */
export interface RefreshRequest {
  userId: string;
  /** A record fetched at this time or later satisfies the request. Milliseconds since the epoch. */
  freshSince: number;
}

/** `now`: a reader waits for the refresh. */
export type Urgency = "now" | "later";

/** The requests that app servers leave in Redis. Every app server can write there, so all of it is untrusted. */
export interface RefreshRequests {
  /**
   * Waits up to `seconds` for a request of one of these urgencies, the first one first, and takes it. Resolves to
   * `undefined` if there is none, and to no request if it was malformed.
   */
  wait(
    urgencies: readonly Urgency[],
    seconds: number,
  ): Promise<{ urgency: Urgency; requests: RefreshRequest[] } | undefined>;
  /** Takes at most `count` requests, 0 included, and drops the oldest ones beyond the limit. */
  take(urgency: Urgency, count: number): Promise<RefreshRequest[]>;
  close(): void;
}

/** Options for {@link createRefreshRequests}. */
export interface RefreshRequestsOptions {
  redis: RedisClient;
  /** A connection for blocking commands. `close` disconnects it. */
  blocking: RedisClient;
  keys: Pick<Keys, "refreshRequests" | "droppedRefreshRequests">;
  dropped: Pick<Counters, "add">;
  onError: (error: unknown) => void;
}

/** Requests kept per urgency. Further ones push out the oldest. */
export const mostRequests = 10_000;
/** A request takes about 150 bytes. A set that takes far more holds members that are no user ids. */
const mostBytes = mostRequests * 512;
/** `kp_` and at most 64 letters and digits. */
const longestUserId = 67;
/** One reply to a blocking command holds one request. */
const longestReply = 64 * 1024;

const takeRefreshRequests = defineScript("take-refresh-requests", {
  call: ({ key, droppedKey, count }: { key: string; droppedKey: string; count: number }) => ({
    keys: [key, droppedKey],
    args: [count, mostRequests, mostBytes, longestUserId],
  }),
  answer: z.tuple([z.int()], z.string()).transform(([left, ...members]) => ({ left, requests: pairs(members) })),
});

/** Opens the refresh requests. */
export function createRefreshRequests(options: RefreshRequestsOptions): RefreshRequests {
  const { redis, blocking, keys, dropped, onError } = options;
  const allowReply = limitReplies(blocking, () => {
    dropped.add({ oversize: 1 }).catch(onError);
  });

  // No fetch can be fresher than one that begins now. A later time would never be satisfied, and cost a fetch each time.
  const valid = async (requests: readonly RefreshRequest[]) => {
    const kept = requests.filter(
      ({ userId, freshSince }) => userIdSchema.safeParse(userId).success && Number.isFinite(freshSince),
    );
    if (kept.length < requests.length) await dropped.add({ malformed: requests.length - kept.length });
    if (kept.length === 0) return kept;
    const nowMs = Math.floor((await readClock(redis, { key: keys.refreshRequests.now })) / 1000);
    return kept.map(({ userId, freshSince }) => ({ userId, freshSince: Math.min(freshSince, nowMs) }));
  };

  return {
    async wait(urgencies, seconds) {
      allowReply();
      const names = urgencies.map((urgency) => keys.refreshRequests[urgency]);
      const popped = await blocking.bzpopmin(...names, seconds);
      if (popped === null) return undefined;
      const [key, userId, score] = popped;
      const urgency = key === keys.refreshRequests.now ? "now" : "later";
      return { urgency, requests: await valid([{ userId, freshSince: Number(score) }]) };
    },
    async take(urgency, count) {
      const input = { key: keys.refreshRequests[urgency], droppedKey: keys.droppedRefreshRequests, count };
      for (;;) {
        const { left, requests } = await takeRefreshRequests(redis, input);
        if (requests.length > 0 || left <= mostRequests) return valid(requests);
      }
    },
    close: () => blocking.disconnect(),
  };
}

function pairs(members: readonly string[]): RefreshRequest[] {
  return members.flatMap((userId, index) =>
    index % 2 === 0 ? [{ userId, freshSince: Number(members[index + 1]) }] : [],
  );
}

/**
 * Disconnects when a reply is longer than any request, before it is in memory as a whole: a member of a sorted set can
 * have 512 MB, and a blocking command cannot look before it pops. Returns the function to call before each command.
 */
function limitReplies(redis: RedisClient, onTooLong: () => void): () => void {
  let received = 0;
  const watch = (node: Redis) => {
    received = 0;
    node.stream.on("data", (chunk: Buffer) => {
      const before = received;
      received += chunk.length;
      if (before > longestReply || received <= longestReply) return;
      onTooLong();
      // ioredis connects again and repeats the command.
      node.stream.destroy();
    });
  };
  const watchEach = (node: Redis) => {
    if (node.status === "ready" || node.status === "connect") watch(node);
    node.on("connect", () => watch(node));
  };
  if (isCluster(redis)) {
    redis.nodes().forEach(watchEach);
    redis.on("+node", watchEach);
  } else watchEach(redis);
  return () => {
    received = 0;
  };
}
