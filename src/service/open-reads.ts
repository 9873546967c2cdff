import { hkdfSync } from "node:crypto";
import { Hono } from "hono";
import { cors } from "hono/cors";
import { createReader, type Definitions } from "kindling";
import { subscribeToCluster } from "kindling/contract";
import type { Config } from "../config.ts";
import type { Refuse } from "../http/body.ts";
import { createRateCounter } from "../http/rate-counter.ts";
import type { SigningKeys } from "../kinde/signing-keys.ts";
import { createUserTokens } from "../kinde/user-tokens.ts";
import { errorFields, type Log } from "../log.ts";
import { createAuthenticate } from "../read/authenticate.ts";
import { type FlagsReader, flagsRoutes } from "../read/flags-routes.ts";
import { ofrepRoutes } from "../read/ofrep-routes.ts";
import { createStreamKeys } from "../read/stream-keys.ts";
import { streamRoutes } from "../read/stream-routes.ts";
import { type CommitSubscriber, createStreams } from "../read/streams.ts";
import { isCluster } from "../redis/client.ts";
import { connectRedis, waitUntilReady } from "../redis/connection.ts";
import type { RecentUsers } from "../redis/recent-users.ts";
import type { Store } from "../store.ts";
import type { World } from "../world.ts";

/** Dependencies of {@link openReads}. */
export interface ReadsOptions {
  config: Config;
  world: World;
  log: Log;
  store: Store;
  definitions: Definitions;
  signingKeys: SigningKeys;
  refuse: Refuse;
}

/** The routes that read flags, with connections of their own. */
export interface Reads {
  routes: Hono;
  /** Ends all streams. */
  endStreams(): void;
  /** Disconnects from Redis. */
  close(): void;
}

/** Returns whether any kind of token that reads is configured. */
export function hasReads({ api }: Config): boolean {
  return api.tokens.length > 0 || api.clientIds.size > 0;
}

/**
 * Opens the routes that read flags.
 *
 * @throws {RedisError} `redis_unavailable` if Redis does not answer
 */
export async function openReads(options: ReadsOptions): Promise<Reads> {
  const { config, world, log, store, definitions, signingKeys, refuse } = options;
  const { api, http, redisUrl: url, redisTimeoutMs: timeoutMs, prefix } = config;
  const { now } = world;
  const onError = (error: unknown) => log.warn(errorFields(error), "Redis error");
  // A connection of their own, so that reads do not delay webhooks. It sends the commands of one event loop turn together.
  const redis = connectRedis({ url, timeoutMs, onError, autoPipelining: true });
  await waitUntilReady(redis, { url, timeoutMs }).catch((error: unknown) => {
    redis.disconnect();
    throw error;
  });
  const reader = noteReads(store.recentUsers.note, createReader({ redis, definitions, prefix, now }));
  const streams = createStreams({
    connect: () => connectCommits(url, onError),
    prefix,
    reader,
    ticketOf: async (userId) => (await store.records.tickets([userId]))[0] ?? 0,
    maxStreams: api.maxStreams,
    heartbeatMs: api.heartbeatMs,
    now,
    onError: (error) => log.warn(errorFields(error), "a stream could not be served"),
  });
  // Every process of the fleet derives the same secret, and no setting of its own is needed.
  const secret = hkdfSync("sha256", config.clientSecret, prefix, "kindling stream keys", 32);
  const streamKeys = createStreamKeys({ secret: new Uint8Array(secret), now });
  const authenticate = createAuthenticate({
    tokens: api.tokens,
    userTokens:
      api.clientIds.size === 0
        ? undefined
        : createUserTokens({ keys: signingKeys, issuer: config.domain, clientIds: api.clientIds, now }),
    rates: {
      services: createRateCounter({ perMinute: api.readsPerMinute, now }),
      // In a minute with more users than are counted, those beyond must not use up one user's share.
      users: createRateCounter({ perMinute: api.userReadsPerMinute, sharedPerMinute: api.readsPerMinute, now }),
    },
    refuse,
  });
  const { maxBodyBytes } = http;
  const streamPath = api.maxStreams === 0 ? undefined : streamKeys.pathOf;
  const apps = [
    flagsRoutes({ reader, authenticate, refuse, maxBodyBytes, now }),
    ofrepRoutes({ reader, authenticate, refuse, maxBodyBytes, streamPath }),
    ...(api.maxStreams === 0 ? [] : [streamRoutes({ streams, streamKeys, authenticate, refuse })]),
  ];
  return {
    routes: withCors(apps, api.corsOrigins),
    endStreams: streams.close,
    close() {
      streams.close();
      reader.close();
      redis.disconnect();
    },
  };
}

/** Notes who is read. Users who are read many at a time need not be active. */
function noteReads(note: RecentUsers["note"], reader: FlagsReader): FlagsReader {
  return {
    ...reader,
    get(userId, options) {
      note([userId]);
      return reader.get(userId, options);
    },
  };
}

// A cluster passes messages on between its nodes, but not in order: each node is heard directly.
function connectCommits(url: string, onError: (error: Error) => void): CommitSubscriber {
  const redis = connectRedis({ url, onError });
  if (!isCluster(redis)) return redis;
  const subscriber = subscribeToCluster(redis);
  return {
    on: subscriber.on,
    psubscribe: (pattern) => subscriber.psubscribe(pattern),
    disconnect() {
      subscriber.disconnect();
      redis.disconnect();
    },
  };
}

/** Puts the apps together. Pages of the listed origins can call their routes from a browser. */
function withCors(apps: readonly Hono[], origins: readonly string[]): Hono {
  const app = new Hono();
  if (origins.length > 0) {
    const allow = cors({
      origin: [...origins],
      allowMethods: ["GET", "POST"],
      allowHeaders: ["Authorization", "Content-Type", "If-None-Match", "Last-Event-ID", "X-API-Key"],
      exposeHeaders: ["ETag", "Retry-After"],
      maxAge: 600,
    });
    const paths = new Set(apps.flatMap(({ routes }) => routes.map(({ path }) => path)));
    for (const path of paths) app.use(path, allow);
  }
  for (const each of apps) app.route("/", each);
  return app;
}
