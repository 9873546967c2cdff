import { z } from "zod";
import { TenantError } from "../errors.ts";
import { parseJson } from "../kinde/request.ts";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";

// The domain must stay readable whatever the version: a newer release must not look like no tenant.
const storedTenant = z.looseObject({ domain: z.string() });

/**
 * Binds the store to a Kinde tenant at its first use, and checks it at every later one.
 *
 * @param domain Origin of the tenant
 * @throws {TenantError} `tenant_mismatch` if the store belongs to another tenant
 */
export async function bindTenant(
  redis: RedisClient,
  keys: Pick<Keys, "tenant" | "prefix">,
  domain: string,
): Promise<void> {
  const binding = JSON.stringify({ v: 1, domain });
  if ((await redis.set(keys.tenant, binding, "NX")) !== null) return;
  const bound = storedTenant.safeParse(parseJson((await redis.get(keys.tenant)) ?? "")).data?.domain;
  if (bound === undefined) await redis.set(keys.tenant, binding);
  else if (bound !== domain) {
    throw new TenantError(
      "tenant_mismatch",
      `The keys under the prefix ${keys.prefix} belong to ${bound}, but KINDE_DOMAIN is ${domain}. Give each tenant its ` +
        `own KINDLING_PREFIX. If both are the same tenant under two domains, or ${bound} was a mistake, stop all ` +
        `processes, run redis-cli DEL ${keys.tenant}, and start again.`,
    );
  }
}
