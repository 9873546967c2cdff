import { BadRequest, ok } from "../http/reply.ts";
import { membershipsOf } from "../kinde/truth.ts";
import type { UserState } from "../state/user-state.ts";
import { userPage } from "./paging.ts";
import { expandOf, listedUser } from "./render.ts";
import type { ApiCall, ApiDeps, Route } from "./route.ts";

/** Route of `GET /users`: lists users without properties, sorted by id. */
export function userListRoutes({ world }: ApiDeps): Route[] {
  return [
    {
      method: "GET",
      path: "/users",
      scope: "read:users",
      handle: async (call) => {
        const expand = expandOf(call);
        const passes = filterOf(call, (user) => membershipsOf(world.catalogue, user).length > 0);
        const named = namedUsers(call, (identity) => world.users.findByIdentity(identity), world.users.get);
        const walk = (after: string | undefined) =>
          named?.filter(({ id }) => after === undefined || id > after) ?? world.users.walk({ after });
        const { items, next_token } = await userPage(call, walk, passes);
        return ok({ users: items.map((user) => listedUser(world.catalogue, user, expand)), next_token });
      },
    },
  ];
}

/** Looks up users by id, email, username or phone instead of scanning. Each parameter accepts a comma-separated list. */
function namedUsers(
  call: ApiCall,
  byIdentity: (identity: string) => UserState | undefined,
  byId: (id: string) => UserState | undefined,
): UserState[] | undefined {
  const lookups = [
    { names: call.query("user_id"), find: byId },
    ...["email", "username", "phone"].map((field) => ({ names: call.query(field), find: byIdentity })),
  ];
  const found = lookups.flatMap(({ names, find }) =>
    names === undefined ? [] : [names.split(",").flatMap((name) => find(name.trim()) ?? [])],
  );
  const [first, ...others] = found;
  return first
    ?.filter((user) => others.every((list) => list.some(({ id }) => id === user.id)))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

function filterOf(call: ApiCall, hasOrganization: (user: UserState) => boolean): (user: UserState) => boolean {
  const requested = call.query("has_organization");
  const since = call.query("active_since");
  if (since !== undefined && Number.isNaN(Date.parse(since))) throw new BadRequest("active_since is not a date.");
  const from = since === undefined ? undefined : Date.parse(since);
  return (user) =>
    (requested === undefined || hasOrganization(user) === (requested === "true")) &&
    (from === undefined || (user.lastSignedIn !== null && Date.parse(user.lastSignedIn) >= from));
}
