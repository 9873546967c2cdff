import { z } from "zod";
import { KindeError } from "../errors.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";

/** A webhook as the Management API tells it. Whether Kinde has switched it off is not among what it tells. */
export interface Webhook {
  id: string;
  name: string;
  endpoint: string;
  eventTypes: string[];
}

/** The environment's webhooks, over the Management API. Each call throws as that does. */
export interface Webhooks {
  list(options: CallOptions): Promise<Webhook[]>;
  /** Answers the id. */
  create(webhook: Omit<Webhook, "id">, options: CallOptions): Promise<string>;
  /** The endpoint of a webhook cannot be changed. */
  setEventTypes(id: string, eventTypes: readonly string[], options: CallOptions): Promise<void>;
  remove(id: string, options: CallOptions): Promise<void>;
  /** The event types this Kinde knows; `undefined` where we may not ask, which takes the scope `read:event_types`. */
  eventTypes(options: CallOptions): Promise<ReadonlySet<string> | undefined>;
}

const webhooksSchema = z.object({
  webhooks: z
    .array(
      z.object({
        id: z.string(),
        name: z.string().nullish(),
        endpoint: z.string(),
        event_types: z.array(z.string()).nullish(),
      }),
    )
    .nullish(),
});
const createdSchema = z.object({ webhook: z.object({ id: z.string() }) });
const eventTypesSchema = z.object({ event_types: z.array(z.object({ code: z.string() })) });
const done = z.unknown();

/** https://docs.kinde.com/kinde-apis/management/#tag/webhooks */
export function createWebhooks(api: ManagementApi): Webhooks {
  const one = (id: string) => ({ path: `/api/v1/webhooks/${encodeURIComponent(id)}`, answer: done });
  return {
    async list(options) {
      const call = { path: "/api/v1/webhooks", route: "GET /api/v1/webhooks", scope: "read:webhooks" };
      const { webhooks } = await api.get({ ...call, answer: webhooksSchema }, options);
      return (webhooks ?? []).map(({ id, name, endpoint, event_types }) => ({
        id,
        name: name ?? "",
        endpoint,
        eventTypes: event_types ?? [],
      }));
    },

    async create({ name, endpoint, eventTypes }, options) {
      const call = { path: "/api/v1/webhooks", route: "POST /api/v1/webhooks", scope: "create:webhooks" };
      const body = { name, endpoint, event_types: eventTypes };
      const { webhook } = await api.send({ ...call, method: "POST", body, answer: createdSchema }, options);
      return webhook.id;
    },

    async setEventTypes(id, eventTypes, options) {
      const call = { ...one(id), route: "PATCH /api/v1/webhooks/{id}", scope: "update:webhooks" };
      await api.send({ ...call, method: "PATCH", body: { event_types: eventTypes } }, options);
    },

    async remove(id, options) {
      const call = { ...one(id), route: "DELETE /api/v1/webhooks/{id}", scope: "delete:webhooks" };
      await api.send({ ...call, method: "DELETE" }, options);
    },

    async eventTypes(options) {
      const call = { path: "/api/v1/event_types", route: "GET /api/v1/event_types", scope: "read:event_types" };
      try {
        const { event_types } = await api.get({ ...call, answer: eventTypesSchema }, options);
        return new Set(event_types.map(({ code }) => code));
      } catch (error) {
        if (error instanceof KindeError && error.code === "kinde_forbidden") return undefined;
        throw error;
      }
    },
  };
}
