import type { CallOptions } from "../kinde/management-api.ts";
import type { Webhook, Webhooks } from "../kinde/webhooks.ts";
import { sameUrl } from "./check-registration.ts";

/** What registering did. */
export interface Registered {
  action: "created" | "repaired" | "renewed" | "unchanged";
  webhook: Webhook;
  /** Event types it was not told before. */
  added: string[];
  /** Ids of webhooks with the same address that it replaced. */
  replaced: string[];
}

/** What registering needs. */
export interface RegisterOptions {
  webhooks: Webhooks;
  url: string;
  name: string;
  /** Event types it must be told. */
  needed: readonly string[];
  /** Put a new one in the place of one that is there. */
  renew: boolean;
}

/**
 * Sees to it that Kinde has a webhook to this address and tells it all we need; leaves alone what is right already.
 * Kinde's API neither tells nor changes whether a webhook is switched off: a new one in its place is the way to be sure. It
 * is made before the old one goes, so that no event falls between; those that both deliver are told by their ids.
 */
export async function registerWebhook(options: RegisterOptions, call: CallOptions): Promise<Registered> {
  const { webhooks, url, name, renew } = options;
  const known = await webhooks.eventTypes(call);
  const needed = options.needed.filter((type) => known?.has(type) ?? true);
  const there = (await webhooks.list(call)).filter(({ endpoint }) => sameUrl(endpoint, url));
  const old = there[0];
  if (old === undefined || renew) {
    const eventTypes = [...new Set([...there.flatMap((webhook) => webhook.eventTypes), ...needed])];
    const fields = { name: old?.name || name, endpoint: url, eventTypes };
    const id = await webhooks.create(fields, call);
    for (const webhook of there) await webhooks.remove(webhook.id, call);
    const replaced = there.map((webhook) => webhook.id);
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
