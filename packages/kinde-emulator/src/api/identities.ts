import { z } from "zod";
import { BadRequest, json, ok } from "../http/reply.ts";
import { missing, userOf } from "../kinde/world.ts";
import type { Identity } from "../truth-types.ts";
import { cursorPageOf, DEFAULT_PAGE } from "./paging.ts";
import type { ApiDeps, Route } from "./route.ts";

const creation = z.object({
  type: z.enum(["email", "username", "phone", "social", "enterprise"]),
  value: z.string().min(1),
  phone_country_id: z.string().min(1).exactOptional(),
  connection_id: z.string().min(1).exactOptional(),
});
const changes = z.object({ is_primary: z.boolean().exactOptional() });

/** Routes for the identities of users. */
export function identityRoutes({ world, actions }: ApiDeps): Route[] {
  const find = (id: string): Identity => {
    const { userId } = world.identityIds.find(id) ?? missing("identity", id);
    const identities = world.users.get(userId) ? actions.identities(userId) : [];
    return identities.find((one) => one.id === id) ?? missing("identity", id);
  };
  return [
    {
      method: "GET",
      path: "/users/{user_id}/identities",
      scope: "read:user_identities",
      handle: (call) => {
        const identities = actions.identities(call.param("user_id"));
        const { items, has_more } = cursorPageOf(call, identities, ({ id }) => id, DEFAULT_PAGE);
        return ok({ identities: items.map((one) => render(one)), has_more });
      },
    },
    {
      method: "POST",
      path: "/users/{user_id}/identities",
      scope: "create:user_identities",
      handle: async (call) => {
        const { type, value, phone_country_id, connection_id } = await call.body(creation);
        if (type === "phone" && phone_country_id === undefined)
          throw new BadRequest("phone_country_id is required for the type phone.");
        const connection = connection_id === undefined ? {} : { connectionId: connection_id };
        const { id } = actions.addIdentity(call.param("user_id"), { type, identity: value, ...connection });
        return ok({ identity: { id } }, 201);
      },
    },
    {
      method: "GET",
      path: "/identities/{identity_id}",
      scope: "read:identities",
      handle: (call) => json(render(find(call.param("identity_id")))),
    },
    {
      method: "PATCH",
      path: "/identities/{identity_id}",
      scope: "update:identities",
      handle: async (call) => {
        const { is_primary } = await call.body(changes);
        const { id, isPrimary } = find(call.param("identity_id"));
        if (is_primary === false && isPrimary)
          throw new BadRequest("Make another identity of this type the primary one instead.");
        if (is_primary) actions.makeIdentityPrimary(id);
        return ok();
      },
    },
    {
      method: "DELETE",
      path: "/identities/{identity_id}",
      scope: "delete:identities",
      handle: (call) => {
        actions.removeIdentity(find(call.param("identity_id")).id);
        return ok();
      },
    },
  ];

  function render({ id, userId, type, identity, connectionId, isPrimary, createdOn }: Identity) {
    const user = userOf(world, userId);
    // The sign-in page chooses users, not identities: all sign-ins count for the first identity.
    const [first] = user.identities;
    const isUsed = first?.type === type && first.identity === identity;
    return {
      id,
      type,
      is_confirmed: true,
      created_on: createdOn,
      last_login_on: isUsed ? user.lastSignedIn : null,
      total_logins: isUsed ? user.totalSignIns : 0,
      name: identity,
      email: type === "email" ? identity : user.email,
      connection_id: connectionId,
      is_primary: isPrimary,
    };
  }
}
