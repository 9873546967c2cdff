import { z } from "zod";
import { TenantError } from "../errors.ts";
import { parseJson } from "../kinde/request.ts";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";

// The domain must stay readable whatever the version: a newer release must not look like no tenant.
const storedTenant = z.looseObject({ domain: z.string() });

/** Watches to which tenant a store belongs. */
export interface TenantWatch {
  /** Aborted with a {@link TenantError} once the store belongs to another tenant: nothing may be written to it any more. */
  foreign: AbortSignal;
  close(): Promise<void>;
}

/**
 * Binds the store again and again, because it can be wiped while processes use it. If a process of another tenant was
 * faster, the store is lost to this one.
 *
 * @param bind as {@link bindTenant}
 */
export function watchTenant(
  bind: () => Promise<unknown>,
  {
    intervalMs,
    onError,
    onMismatch,
  }: { intervalMs: number; onError: (error: unknown) => void; onMismatch: (error: TenantError) => void },
): TenantWatch {
  const foreign = new AbortController();
  const check = async () => {
    try {
      await bind();
    } catch (error) {
      if (!(error instanceof TenantError)) return onError(error);
      if (foreign.signal.aborted) return;
      clearInterval(timer);
      onMismatch(error);
      foreign.abort(error);
    }
  };
  let current: Promise<void> | undefined;
  // Does not wait for the previous check, which could hang.
  const timer = setInterval(() => {
    current = check();
  }, intervalMs);
  return {
    foreign: foreign.signal,
    async close() {
      clearInterval(timer);
      await current;
    },
  };
}

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
