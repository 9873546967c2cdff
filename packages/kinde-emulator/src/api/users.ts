import { z } from "zod";
import { BadRequest, json, ok } from "../http/reply.ts";
import { organizationOf, userOf } from "../kinde/world.ts";
import type { UserChanges, UserInput } from "../truth-types.ts";
import { expandOf, oneUser } from "./render.ts";
import type { ApiDeps, Route } from "./route.ts";

const text = z.string().min(1);
const details = z.object({
  email: text.exactOptional(),
  phone: text.exactOptional(),
  username: text.exactOptional(),
});
const newUser = z.object({
  profile: z.object({ given_name: z.string(), family_name: z.string(), picture: z.string() }).partial().exactOptional(),
  organization_code: text.exactOptional(),
  provided_id: text.exactOptional(),
  identities: z
    .array(z.object({ type: z.enum(["email", "phone", "username"]), details: details.exactOptional() }))
    .exactOptional(),
});
const changedUser = z.object({
  given_name: z.string().exactOptional(),
  family_name: z.string().exactOptional(),
  picture: z.string().nullable().exactOptional(),
  is_suspended: z.boolean().exactOptional(),
  is_password_reset_requested: z.boolean().exactOptional(),
  provided_id: z.string().exactOptional(),
});

/** Routes for a single user. */
export function userRoutes({ world, actions, grants, tornReads }: ApiDeps): Route[] {
  return [
    {
      method: "GET",
      path: "/user",
      scope: "read:users",
      handle: (call) =>
        json(oneUser(world.catalogue, tornReads.read(idOf(call.query("id")), "account"), expandOf(call))),
    },
    {
      method: "POST",
      path: "/user",
      scope: "create:users",
      handle: async (call) => {
        const body = await call.body(newUser);
        if (body.organization_code !== undefined) organizationOf(world, body.organization_code);
        const user = actions.createUser(inputOf(body));
        const identities = user.identities.map(({ type }) => ({ type, result: { created: true } }));
        return json({ id: user.id, created: true, identities });
      },
    },
    {
      method: "PATCH",
      path: "/user",
      scope: "update:users",
      handle: async (call) => {
        const body = await call.body(changedUser);
        const id = idOf(call.query("id"));
        actions.updateUser(id, changesOf(body));
        const user = userOf(world, id);
        return json({
          id,
          given_name: user.firstName,
          family_name: user.lastName,
          email: user.email,
          is_suspended: user.isSuspended,
          is_password_reset_requested: user.isPasswordResetRequested,
          picture: user.picture,
        });
      },
    },
    {
      method: "DELETE",
      path: "/user",
      scope: "delete:users",
      handle: (call) => {
        actions.deleteUser(idOf(call.query("id")));
        return ok();
      },
    },
    {
      method: "POST",
      path: "/users/{user_id}/refresh_claims",
      scope: "update:user_refresh_claims",
      handle: (call) => {
        grants.refreshClaims(userOf(world, call.param("user_id")).id);
        return ok();
      },
    },
  ];
}

function idOf(id: string | undefined): string {
  if (id === undefined) throw new BadRequest("The query parameter id is required.", "id_missing");
  return id;
}

function inputOf({
  profile = {},
  organization_code,
  provided_id,
  identities = [],
}: z.infer<typeof newUser>): UserInput {
  const named = Object.fromEntries(identities.map(({ type, details: own }) => [type, own?.[type] ?? null]));
  return {
    // Null instead of undefined: the API generates no email address.
    email: named.email ?? null,
    phone: named.phone ?? null,
    username: named.username ?? null,
    firstName: profile.given_name ?? null,
    lastName: profile.family_name ?? null,
    picture: profile.picture ?? null,
    providedId: provided_id ?? null,
    ...(organization_code !== undefined && { organizations: [organization_code] }),
  };
}

function changesOf(body: z.infer<typeof changedUser>): UserChanges {
  return {
    ...(body.given_name !== undefined && { firstName: body.given_name }),
    ...(body.family_name !== undefined && { lastName: body.family_name }),
    ...(body.picture !== undefined && { picture: body.picture }),
    ...(body.is_suspended !== undefined && { isSuspended: body.is_suspended }),
    ...(body.is_password_reset_requested !== undefined && {
      isPasswordResetRequested: body.is_password_reset_requested,
    }),
    ...(body.provided_id !== undefined && { providedId: body.provided_id }),
  };
}
