import { z } from "zod";
import { BadRequest, ok } from "../http/reply.ts";
import { missing } from "../kinde/world.ts";
import { EVENT_TYPES } from "../webhooks/event-types.ts";
import { oneWebhook } from "./render.ts";
import type { ApiDeps, Route } from "./route.ts";

const eventTypes = z.array(z.enum(EVENT_TYPES));
const changes = z.object({
  name: z.string().min(1).exactOptional(),
  description: z.string().nullable().exactOptional(),
  event_types: eventTypes.exactOptional(),
  endpoint: z.unknown().exactOptional(),
});
const creation = z.object({
  endpoint: z.string().min(1),
  name: z.string().min(1),
  description: z.string().nullable().exactOptional(),
  event_types: eventTypes,
});

/** Routes for webhooks, event types and events. */
export function webhookRoutes(deps: ApiDeps): Route[] {
  return [...crudRoutes(deps), ...eventRoutes(deps)];
}

function crudRoutes({ registry }: ApiDeps): Route[] {
  return [
    {
      method: "GET",
      path: "/webhooks",
      scope: "read:webhooks",
      handle: () => ok({ webhooks: registry.list().map(oneWebhook) }),
    },
    {
      method: "POST",
      path: "/webhooks",
      scope: "create:webhooks",
      handle: async (call) => {
        const { endpoint, event_types, name, description = null } = await call.body(creation);
        const { id } = registry.register({ url: endpoint, eventTypes: event_types, name, description });
        return ok({ webhook: { id, endpoint } });
      },
    },
    {
      method: "PATCH",
      path: "/webhooks/{webhook_id}",
      scope: "update:webhooks",
      handle: async (call) => {
        const { endpoint, event_types, ...rest } = await call.body(changes);
        if (endpoint !== undefined)
          throw new BadRequest("The endpoint of a webhook cannot be changed.", "endpoint_not_changeable");
        const { id } = registry.update(call.param("webhook_id"), {
          ...rest,
          ...(event_types && { eventTypes: event_types }),
        });
        return ok({ webhook: { id } });
      },
    },
    {
      method: "DELETE",
      path: "/webhooks/{webhook_id}",
      scope: "delete:webhooks",
      handle: (call) => {
        registry.remove(call.param("webhook_id"));
        return ok();
      },
    },
  ];
}

function eventRoutes({ events }: ApiDeps): Route[] {
  return [
    {
      method: "GET",
      path: "/event_types",
      scope: "read:event_types",
      handle: () =>
        ok({
          event_types: EVENT_TYPES.map((code, index) => ({
            id: `event_type_0192e57ef74${index.toString(16).padStart(21, "0")}`,
            code,
            name: code.replaceAll(/[._]/g, " "),
            origin: "kinde",
            schema: {},
          })),
        }),
    },
    {
      method: "GET",
      path: "/events/{event_id}",
      scope: "read:events",
      handle: (call) => {
        const id = call.param("event_id");
        const { type, source, event_id, timestamp, data } = events.get(id) ?? missing("event", id);
        return ok({ event: { type, source, event_id, timestamp: Math.floor(Date.parse(timestamp) / 1000), data } });
      },
    },
  ];
}
