import { Redis } from "ioredis";
import { createKindling } from "kindling";
import { createVerifier } from "kindling/request";
import definitions from "../kindling.flags.js";

const { env } = process;

const redis = new Redis(env.REDIS_URL ?? "redis://127.0.0.1:6379", {
  lazyConnect: true,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 1,
  connectTimeout: 2_000,
});
redis.on("error", (error) => console.error("Redis:", error.message));
await redis.connect().catch(() => undefined);

export const kindling = createKindling({
  definitions,
  redis,
  prefix: env.KINDLING_PREFIX ?? "kindling",
  url: env.KINDLING_URL ?? "http://127.0.0.1:3000",
  token: env.KINDLING_API_TOKEN ?? "",
  verify: createVerifier({ issuer: env.KINDE_ISSUER_URL ?? "", clientIds: [env.KINDE_CLIENT_ID ?? ""] }),
});
