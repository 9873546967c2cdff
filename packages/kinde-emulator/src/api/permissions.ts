import { z } from "zod";
import { ok } from "../http/reply.ts";
import { missing } from "../kinde/world.ts";
import { pageOf, sorted } from "./paging.ts";
import type { ApiCall, ApiDeps, Route } from "./route.ts";

const changes = z.object({
  name: z.string().min(1).exactOptional(),
  description: z.string().exactOptional(),
  key: z.string().min(1).exactOptional(),
});
const creation = changes.extend({ name: z.string().min(1), key: z.string().min(1) });

/** Routes for permissions. */
export function permissionRoutes({ world, actions }: ApiDeps): Route[] {
  const keyOf = (call: ApiCall): string => {
    const id = call.param("permission_id");
    return world.catalogue.permissions.get(id)?.key ?? missing("permission", id);
  };
  return [
    {
      method: "GET",
      path: "/permissions",
      scope: "read:permissions",
      handle: (call) => {
        const { items, next_token } = pageOf(
          call,
          sorted(call, actions.permissions(), { name: ({ name }) => name, id: ({ id }) => id }),
          ({ id }) => id,
        );
        return ok({ permissions: items, next_token });
      },
    },
    {
      method: "POST",
      path: "/permissions",
      scope: "create:permissions",
      handle: async (call) => {
        const { key, name, description = "" } = await call.body(creation);
        actions.createPermission(key, name, description);
        return ok({}, 201);
      },
    },
    {
      method: "PATCH",
      path: "/permissions/{permission_id}",
      scope: "update:permissions",
      handle: async (call) => {
        actions.updatePermission(keyOf(call), await call.body(changes));
        return ok();
      },
    },
    {
      method: "DELETE",
      path: "/permissions/{permission_id}",
      scope: "delete:permissions",
      handle: (call) => {
        actions.deletePermission(keyOf(call));
        return ok();
      },
    },
  ];
}
