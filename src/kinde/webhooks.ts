import { z } from "zod";
import { KindeError } from "../errors.ts";
import { changed, listAnswer } from "./answers.ts";
import { pathId } from "./ids.ts";
import type { CallOptions, ManagementApi } from "./management-api.ts";

/** A webhook as the Management API reports it. The API does not report whether Kinde has disabled it. */
export interface Webhook {
  id: string;
  name: string;
  endpoint: string;
  eventTypes: string[];
}

/** Manages the webhooks of the Kinde environment. Every call throws as {@link ManagementApi.get}. */
export interface Webhooks {
  list(options: CallOptions): Promise<Webhook[]>;
  /** Returns the id. */
  create(webhook: Omit<Webhook, "id">, options: CallOptions): Promise<string>;
  /** Replaces the event types. Kinde cannot change the endpoint of a webhook. */
  setEventTypes(id: string, eventTypes: readonly string[], options: CallOptions): Promise<void>;
  remove(id: string, options: CallOptions): Promise<void>;
  /** Returns the event types that Kinde supports; `undefined` without the scope `read:event_types`. */
  eventTypes(options: CallOptions): Promise<ReadonlySet<string> | undefined>;
}

const webhooksSchema = listAnswer(["webhooks"], {
  webhooks: z
    .array(
      z.object({
        id: pathId,
        name: z.string().nullish(),
        endpoint: z.string(),
        event_types: z.array(z.string()).nullish(),
      }),
    )
    .nullish(),
});
const createdSchema = z.object({ webhook: z.object({ id: pathId }) });
const eventTypesSchema = z.object({ event_types: z.array(z.object({ code: z.string() })) });

/**
 * Creates the client for webhooks.
 *
 * @see https://docs.kinde.com/kinde-apis/management/#tag/webhooks
 */
export function createWebhooks(api: ManagementApi): Webhooks {
  const one = (id: string) => ({ path: `/api/v1/webhooks/${encodeURIComponent(id)}`, answer: changed });
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
