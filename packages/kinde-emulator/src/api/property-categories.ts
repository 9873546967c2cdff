import { z } from "zod";
import { ok } from "../http/reply.ts";
import { missing } from "../kinde/world.ts";
import { newId } from "../state/random.ts";
import { cursorPageOf } from "./paging.ts";
import type { ApiDeps, Route } from "./route.ts";

const creation = z.object({ name: z.string().min(1), context: z.enum(["usr", "org", "app"]) });
const changes = z.object({ name: z.string().min(1).exactOptional() });

/** Routes for the categories of properties. */
export function propertyCategoryRoutes({ world }: ApiDeps): Route[] {
  const { propertyCategories } = world.catalogue;
  return [
    {
      method: "GET",
      path: "/property_categories",
      scope: "read:property_categories",
      handle: (call) => {
        const context = call.query("context");
        const all = [...propertyCategories.values()].filter((one) => !context || one.context === context);
        const { items, has_more } = cursorPageOf(call, all, ({ id }) => id);
        return ok({ categories: items.map(({ id, name }) => ({ id, name })), has_more });
      },
    },
    {
      method: "POST",
      path: "/property_categories",
      scope: "create:property_categories",
      handle: async (call) => {
        const category = { id: newId.category(), ...(await call.body(creation)) };
        propertyCategories.set(category.id, category);
        return ok({ category: { id: category.id } }, 201);
      },
    },
    {
      method: "PUT",
      path: "/property_categories/{category_id}",
      scope: "update:property_categories",
      handle: async (call) => {
        const id = call.param("category_id");
        const category = propertyCategories.get(id) ?? missing("property_category", id);
        propertyCategories.set(id, { ...category, ...(await call.body(changes)) });
        return ok();
      },
    },
  ];
}
