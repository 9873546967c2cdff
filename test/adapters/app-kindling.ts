import { Redis } from "ioredis";
import { createKindling } from "kindling";
import { createVerifier, oncePerProcess } from "kindling/request";
import definitions from "./definitions.ts";

/** What an app reads from its environment. */
export interface AppEnv {
  REDIS_URL: string;
  KINDLING_PREFIX: string;
  KINDE_ISSUER_URL: string;
  KINDE_CLIENT_ID: string;
}

/** Opens Redis and Kindling as the guides recommend. Test apps share it. */
export async function openKindling(env: AppEnv) {
  const redis = oncePerProcess(`redis ${env.KINDLING_PREFIX}`, () => {
    const client = new Redis(env.REDIS_URL, {
      connectionName: env.KINDLING_PREFIX,
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      connectTimeout: 2_000,
      retryStrategy: (attempt) => Math.min(attempt * 50, 1_000),
    });
    client.on("error", () => undefined);
    return client;
  });
  // Rejects if Redis is down; the client goes on trying.
  await redis.connect().catch(() => undefined);
  const kindling = oncePerProcess(`kindling ${env.KINDLING_PREFIX} ${definitions.schema}`, () =>
    createKindling({
      definitions,
      redis,
      prefix: env.KINDLING_PREFIX,
      wait: 100,
      // A reader's default is 250 ms, for which a busy machine can leave a test app without the processor.
      timeoutMs: 5_000,
      verify: createVerifier({ issuer: env.KINDE_ISSUER_URL, clientIds: [env.KINDE_CLIENT_ID], cooldownMs: 0 }),
    }),
  );
  return {
    kindling,
    close() {
      kindling.close();
      redis.disconnect();
    },
  };
}
