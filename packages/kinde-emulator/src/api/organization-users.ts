import { z } from "zod";
import { ok } from "../http/reply.ts";
import { fullName, permissionsOf, rolesOf } from "../kinde/truth.ts";
import { organizationOf, permissionByKey, roleByKey, userOf } from "../kinde/world.ts";
import type { Membership, UserState } from "../state/user-state.ts";
import { pageOf, sorted, take, userPage } from "./paging.ts";
import { type ApiCall, type ApiDeps, type Route, rejectOversizedBulk } from "./route.ts";

const member = z.object({
  id: z.string().min(1),
  operation: z.string().exactOptional(),
  roles: z.array(z.string()).exactOptional(),
  permissions: z.array(z.string()).exactOptional(),
});
const members = z.object({ users: z.array(member) });
type Member = z.infer<typeof member>;

const grantOf = ({ roles, permissions }: Member) => ({ ...(roles && { roles }), ...(permissions && { permissions }) });

/** Routes for the members of an organization. A bulk write changes nothing if any of its ids or keys is unknown. */
export function organizationUserRoutes(deps: ApiDeps): Route[] {
  const { world, actions } = deps;
  const check = (users: readonly Member[]) => {
    rejectOversizedBulk(users.length);
    for (const { id, roles = [], permissions = [] } of users) {
      userOf(world, id);
      for (const key of roles) roleByKey(world, key);
      for (const key of permissions) permissionByKey(world, key);
    }
  };
  const belongs = (id: string, code: string) => userOf(world, id).memberships.some((one) => one.code === code);

  return [
    listRoute(deps),
    {
      method: "POST",
      path: "/organizations/{org_code}/users",
      scope: "create:organization_users",
      handle: async (call) => {
        const { code } = organizationOf(world, call.param("org_code"));
        const { users } = await call.body(members);
        check(users);
        for (const user of users) actions.addToOrganization(user.id, code, grantOf(user));
        return ok({ users_added: users.map(({ id }) => id) });
      },
    },
    {
      method: "PATCH",
      path: "/organizations/{org_code}/users",
      scope: "update:organization_users",
      handle: async (call) => {
        const { code } = organizationOf(world, call.param("org_code"));
        const { users } = await call.body(members);
        check(users);
        const answer = { users_added: [] as string[], users_updated: [] as string[], users_removed: [] as string[] };
        for (const user of users) {
          const inside = belongs(user.id, code);
          if (user.operation === "delete") {
            if (inside) actions.removeFromOrganization(user.id, code);
            answer.users_removed.push(user.id);
          } else {
            actions.addToOrganization(user.id, code, grantOf(user));
            (inside ? answer.users_updated : answer.users_added).push(user.id);
          }
        }
        return ok(answer);
      },
    },
    {
      method: "DELETE",
      path: "/organizations/{org_code}/users/{user_id}",
      scope: "delete:organization_users",
      handle: (call) => {
        organizationOf(world, call.param("org_code"));
        actions.removeFromOrganization(call.param("user_id"), call.param("org_code"));
        return ok();
      },
    },
  ];
}

const KEYS = { name: fullName, email: ({ email }: UserState) => email ?? "" };

function listRoute({ world, population }: ApiDeps): Route {
  const membershipIn = (user: UserState, code: string) => user.memberships.find((one) => one.code === code);
  const shape = (user: UserState, membership: Membership | undefined) => ({
    id: user.id,
    email: user.email,
    full_name: fullName(user),
    last_name: user.lastName,
    first_name: user.firstName,
    picture: user.picture,
    joined_on: membership?.joinedOn ?? null,
    last_accessed_on: user.lastSignedIn,
    is_suspended: user.isSuspended,
    roles: membership ? rolesOf(world.catalogue, membership).map(({ key }) => key) : [],
  });
  /** `roles` and `permissions` list keys, of which a member must have all. */
  const filterOf = (call: ApiCall, code: string) => {
    const keysOf = (name: string) =>
      (call.query(name) ?? "")
        .split(",")
        .map((key) => key.trim())
        .filter(Boolean);
    const [roles, permissions] = [keysOf("roles"), keysOf("permissions")];
    return (user: UserState): boolean => {
      const membership = membershipIn(user, code);
      if (!membership) return false;
      const held = (list: readonly { key: string }[], wanted: readonly string[]) =>
        wanted.every((key) => list.some((one) => one.key === key));
      return (
        (roles.length === 0 || held(rolesOf(world.catalogue, membership), roles)) &&
        (permissions.length === 0 || held(permissionsOf(world.catalogue, membership), permissions))
      );
    };
  };
  return {
    method: "GET",
    path: "/organizations/{org_code}/users",
    scope: "read:organization_users",
    handle: async (call) => {
      const { code } = organizationOf(world, call.param("org_code"));
      const walk = (after: string | undefined) => world.users.walk({ after, among: population.membersOf(code) });
      const matches = filterOf(call, code);
      const isSorted = call.query("sort") !== undefined;
      const { items, next_token } = isSorted
        ? pageOf(
            call,
            sorted(call, await take(walk(undefined), Number.POSITIVE_INFINITY, matches), KEYS),
            ({ id }) => id,
          )
        : await userPage(call, walk, matches);
      return ok({ organization_users: items.map((user) => shape(user, membershipIn(user, code))), next_token });
    },
  };
}
