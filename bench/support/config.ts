import { fileURLToPath } from "node:url";
import { type Config, loadConfig } from "../../src/config.ts";

/** Kindling's defaults, with what a benchmark must set. */
export function benchConfig(given: {
  domain: string;
  redisUrl: string;
  credentials?: { clientId: string; clientSecret: string };
  env?: Record<string, string>;
}): Config {
  return loadConfig({
    KINDE_DOMAIN: given.domain,
    KINDE_MANAGEMENT_CLIENT_ID: given.credentials?.clientId ?? "unused",
    KINDE_MANAGEMENT_CLIENT_SECRET: given.credentials?.clientSecret ?? "unused",
    REDIS_URL: given.redisUrl,
    HOST: "127.0.0.1",
    PORT: "0",
    KINDLING_FLAGS: fileURLToPath(new URL("../../kindling.flags.ts", import.meta.url)),
    KINDLING_LOG_LEVEL: "warn",
    KINDLING_SWEEP_INTERVAL: "0s",
    KINDLING_AUDIT_INTERVAL: "0s",
    ...given.env,
  });
}
