import { randomBytes } from "node:crypto";
import { type Config, isLoopbackHost } from "../config.ts";
import { ConfigurationError } from "../errors.ts";

/** Returns whether operators have a way to sign in. */
export function hasDashboard({ dashboard: { tokens, application } }: Config): boolean {
  return tokens.length > 0 || application !== undefined;
}

/**
 * Returns the settings with a token of this process, if operators have no other way to sign in.
 *
 * @throws {ConfigurationError} if others than this machine could use it
 */
export function withOwnToken(config: Config): { config: Config; token: string | undefined } {
  if (hasDashboard(config)) return { config, token: undefined };
  const { dashboard } = config;
  if (!isLoopbackHost(dashboard.host)) {
    throw new ConfigurationError([
      "KINDLING_DASHBOARD_TOKENS is missing: set it, or KINDLING_DASHBOARD_CLIENT_ID, so that operators can sign in",
    ]);
  }
  const token = randomBytes(24).toString("base64url");
  const tokens = [{ name: "local", role: "operate" as const, value: token }];
  return { config: { ...config, dashboard: { ...dashboard, tokens } }, token };
}
