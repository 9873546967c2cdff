import { z } from "zod";
import { BadRequest, ok } from "../http/reply.ts";
import { missing, userOf } from "../kinde/world.ts";
import { find } from "../state/catalogue.ts";
import type { UserState } from "../state/user-state.ts";
import { cursorPageOf } from "./paging.ts";
import { oneProperty, ownValue } from "./render.ts";
import { type ApiCall, type ApiDeps, type Route, rejectOversizedBulk } from "./route.ts";

const value = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const values = z.object({ properties: z.record(z.string(), value.nullable()) });
const definition = z.object({
  name: z.string().min(1),
  description: z.string().default(""),
  key: z.string().min(1),
  type: z.enum(["single_line_text", "multi_line_text"]),
  context: z.enum(["usr", "org", "app"]),
  is_private: z.boolean(),
  category_id: z.string().min(1),
});
const changes = z.object({
  name: z.string().min(1),
  description: z.string().exactOptional(),
  is_private: z.boolean(),
  category_id: z.string().min(1),
});

/** Routes for property definitions and the properties of a user. */
export function propertyRoutes(deps: ApiDeps): Route[] {
  return [...definitionRoutes(deps), ...valueRoutes(deps)];
}

function definitionRoutes({ world, actions }: ApiDeps): Route[] {
  const { properties, propertyCategories } = world.catalogue;
  const categoryOf = (id: string) => propertyCategories.get(id)?.id ?? missing("property_category", id);
  const propertyOf = (call: ApiCall) => {
    const id = call.param("property_id");
    const property = find(properties, (one) => one.id === id) ?? missing("property", id);
    if (property.isKindeProperty)
      throw new BadRequest("Kinde's own properties cannot be changed or deleted.", "invalid_property");
    return property;
  };
  return [
    {
      method: "GET",
      path: "/properties",
      scope: "read:properties",
      handle: (call) => {
        const context = call.query("context");
        const all = [...world.catalogue.properties.values()].filter((one) => !context || one.context === context);
        const { items, has_more } = cursorPageOf(call, all, ({ id }) => id);
        return ok({ properties: items.map(oneProperty), has_more });
      },
    },
    {
      method: "POST",
      path: "/properties",
      scope: "create:properties",
      handle: async (call) => {
        const { key, name, description, context, is_private, category_id } = await call.body(definition);
        const categoryId = categoryOf(category_id);
        if (key.startsWith("kp_"))
          throw new BadRequest("Keys that start with kp_ are reserved for Kinde.", "invalid_key");
        const { id } = actions.createProperty(key, { name, description, context, isPrivate: is_private, categoryId });
        return ok({ property: { id } }, 201);
      },
    },
    {
      method: "PUT",
      path: "/properties/{property_id}",
      scope: "update:properties",
      handle: async (call) => {
        const { key } = propertyOf(call);
        const { is_private, category_id, ...texts } = await call.body(changes);
        actions.updateProperty(key, { ...texts, isPrivate: is_private, categoryId: categoryOf(category_id) });
        return ok();
      },
    },
    {
      method: "DELETE",
      path: "/properties/{property_id}",
      scope: "delete:properties",
      handle: (call) => {
        actions.deleteProperty(propertyOf(call).key);
        return ok();
      },
    },
  ];
}

function valueRoutes({ world, actions, tornReads }: ApiDeps): Route[] {
  return [
    {
      method: "GET",
      path: "/users/{user_id}/properties",
      scope: "read:user_properties",
      handle: (call) =>
        ok({ properties: valuesOf(tornReads.read(call.param("user_id"), "properties")), next_token: null }),
    },
    {
      method: "PATCH",
      path: "/users/{user_id}/properties",
      scope: "update:user_properties",
      handle: async (call) => {
        const { properties } = await call.body(values);
        rejectOversizedBulk(Object.keys(properties).length);
        actions.setProperties(call.param("user_id"), properties);
        return ok();
      },
    },
    {
      method: "PUT",
      path: "/users/{user_id}/properties/{property_key}",
      scope: "update:user_properties",
      handle: (call) => {
        userOf(world, call.param("user_id"));
        const next = call.searchParams().get("value");
        if (next === null) throw new BadRequest("The query parameter value is required.", "value_missing");
        actions.setProperties(call.param("user_id"), { [call.param("property_key")]: next });
        return ok();
      },
    },
  ];

  function valuesOf(user: UserState) {
    const defined = [...world.catalogue.properties.values()].filter(({ context }) => context === "usr");
    return defined.map(({ id, key, name, description }) => ({
      id,
      name,
      description,
      key,
      value: ownValue(user.properties, key) ?? null,
    }));
  }
}
