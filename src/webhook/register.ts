import type { CallOptions } from "../kinde/management-api.ts";
import type { Webhook, Webhooks } from "../kinde/webhooks.ts";
import { sameUrl } from "./check-registration.ts";

/** The result of {@link registerWebhook}. */
export interface Registered {
  action: "created" | "repaired" | "renewed" | "unchanged";
  webhook: Webhook;
  /** Event types that were missing before. */
  added: string[];
  /** Ids of the webhooks with the same URL that it replaced. */
  replaced: string[];
}

/** Options for {@link registerWebhook}. */
export interface RegisterOptions {
  webhooks: Webhooks;
  url: string;
  name: string;
  /** Event types that the webhook must be subscribed to. */
  needed: readonly string[];
  /** Replace an existing webhook with a new one. */
  renew: boolean;
}

/**
 * Ensures that Kinde has a webhook with this URL that is subscribed to every required event type.
 *
 * Kinde's API can neither show nor change whether a webhook is disabled, so only `renew` guarantees an active one. The new
 * webhook is created before the old one is removed, so that no event is lost; duplicates are dropped by event id.
 */
export async function registerWebhook(options: RegisterOptions, call: CallOptions): Promise<Registered> {
  const { webhooks, url, name, renew } = options;
  const known = await webhooks.eventTypes(call);
  const needed = options.needed.filter((type) => known?.has(type) ?? true);
  const existing = (await webhooks.list(call)).filter(({ endpoint }) => sameUrl(endpoint, url));
  const old = existing[0];
  if (old === undefined || renew) {
    const eventTypes = [...new Set([...existing.flatMap((webhook) => webhook.eventTypes), ...needed])];
    const fields = { name: old?.name || name, endpoint: url, eventTypes };
    const id = await webhooks.create(fields, call);
    for (const webhook of existing) await webhooks.remove(webhook.id, call);
    const replaced = existing.map((webhook) => webhook.id);
    const action = old === undefined ? "created" : "renewed";
    return { action, webhook: { id, ...fields }, added: lacking(old, eventTypes), replaced };
  }
  const added = lacking(old, needed);
  const webhook = { ...old, eventTypes: [...old.eventTypes, ...added] };
  if (added.length === 0) return { action: "unchanged", webhook, added, replaced: [] };
  await webhooks.setEventTypes(old.id, webhook.eventTypes, call);
  return { action: "repaired", webhook, added, replaced: [] };
}

function lacking(webhook: Webhook | undefined, types: readonly string[]): string[] {
  return types.filter((type) => webhook?.eventTypes.includes(type) !== true);
}
