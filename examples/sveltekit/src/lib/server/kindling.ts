import { error, redirect } from "@sveltejs/kit";
import { Redis } from "ioredis";
import { createKindling } from "kindling";
import { createVerifier, oncePerProcess } from "kindling/request";
import { kindlingGuard } from "kindling/sveltekit";
import { env } from "$env/dynamic/private";
import definitions from "../../../kindling.flags.js";

export const redis = oncePerProcess("redis", () => {
  const client = new Redis(env.REDIS_URL ?? "redis://127.0.0.1:6379", {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    connectTimeout: 2_000,
  });
  client.on("error", (error) => console.error("Redis:", error.message));
  return client;
});
await redis.connect().catch(() => undefined);

/** Kindling's server: it takes writes, and has a stream for each user. */
export const service = { url: env.KINDLING_URL ?? "http://127.0.0.1:3000", token: env.KINDLING_API_TOKEN ?? "" };

export const kindling = oncePerProcess(`kindling ${definitions.schema}`, () =>
  createKindling({
    definitions,
    redis,
    prefix: env.KINDLING_PREFIX ?? "kindling",
    ...service,
    verify: createVerifier({ issuer: env.KINDE_ISSUER_URL ?? "", clientIds: [env.KINDE_CLIENT_ID ?? ""] }),
  }),
);

export const requireFlag = kindlingGuard({ error, redirect });
