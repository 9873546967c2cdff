import { EmulatorError } from "../emulator-error.ts";
import { newId } from "../state/random.ts";
import type { Webhook } from "../types.ts";
import { EVENT_TYPES } from "./event-types.ts";

export interface WebhookInput {
  url: string;
  eventTypes?: readonly string[];
  name?: string;
  description?: string | null;
}

/** The tenant's webhooks. */
export interface Registry {
  register(input: WebhookInput): Webhook;
  update(id: string, changes: { name?: string; description?: string | null; eventTypes?: readonly string[] }): Webhook;
  list(): Webhook[];
  get(id: string): Webhook | undefined;
  remove(id: string): void;
  disable(id: string): void;
  enable(id: string): Webhook;
  /** Returns the enabled webhooks subscribed to this event type. */
  subscribedTo(eventType: string): Webhook[];
}

export function createRegistry(timestamp: () => string, onInactive: (webhookId: string) => void): Registry {
  const webhooks = new Map<string, Webhook>();
  const existing = (id: string): Webhook => {
    const webhook = webhooks.get(id);
    if (!webhook) throw new EmulatorError("unknown_webhook", `Unknown webhook: "${id}".`);
    return webhook;
  };
  const copy = (webhook: Webhook): Webhook => ({ ...webhook, eventTypes: [...webhook.eventTypes] });

  return {
    register: ({ url, eventTypes = EVENT_TYPES, name = "Webhook", description = null }) => {
      if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
        throw new EmulatorError("invalid_endpoint", "The endpoint of a webhook must be an absolute http or https URL.");
      const webhook = {
        id: newId.webhook(),
        name,
        description,
        endpoint: url,
        eventTypes: [...eventTypes],
        createdOn: timestamp(),
        enabled: true,
      };
      webhooks.set(webhook.id, webhook);
      return copy(webhook);
    },
    update: (id, { eventTypes, ...changes }) => {
      const before = existing(id);
      const webhook = { ...before, ...changes, eventTypes: eventTypes ? [...eventTypes] : before.eventTypes };
      webhooks.set(id, webhook);
      return copy(webhook);
    },
    list: () => [...webhooks.values()].map(copy),
    get: (id) => webhooks.get(id),
    remove: (id) => {
      existing(id);
      webhooks.delete(id);
      onInactive(id);
    },
    disable: (id) => {
      webhooks.set(id, { ...existing(id), enabled: false });
      onInactive(id);
    },
    enable: (id) => {
      const webhook = { ...existing(id), enabled: true };
      webhooks.set(id, webhook);
      return copy(webhook);
    },
    subscribedTo: (type) => [...webhooks.values()].filter((one) => one.enabled && one.eventTypes.includes(type)),
  };
}
