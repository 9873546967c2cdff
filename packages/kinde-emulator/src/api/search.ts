import { BadRequest, ok } from "../http/reply.ts";
import type { UserState } from "../state/user-state.ts";
import { cursorOf, pageSizeOf, take } from "./paging.ts";
import { expandOf, foundUser, ownValue } from "./render.ts";
import type { ApiCall, ApiDeps, Route } from "./route.ts";

/** Route of `GET /search/users`: lists users with their properties, subject to `search_lag`. */
export function searchRoutes({ world, faults }: ApiDeps): Route[] {
  return [
    {
      method: "GET",
      path: "/search/users",
      scope: "read:users",
      handle: async (call) => {
        const [startingAfter, endingBefore] = [cursorOf(call, "starting_after"), cursorOf(call, "ending_before")];
        if (startingAfter !== undefined && endingBefore !== undefined)
          throw new BadRequest("starting_after and ending_before are mutually exclusive.");
        const lag = faults.strike("search_lag", {})?.fault.ms;
        const reverse = endingBefore !== undefined;
        const users = world.users.walk({
          after: startingAfter ?? endingBefore,
          reverse,
          asOf: lag === undefined ? undefined : performance.now() - lag,
        });
        const found = await take(users, pageSizeOf(call), matches(call));
        if (reverse) found.reverse();
        const expand = expandOf(call);
        return ok({ results: found.map((user) => foundUser(world.catalogue, user, expand)) });
      },
    },
  ];
}

function matches(call: ApiCall): (user: UserState) => boolean {
  const query = call.query("query")?.toLowerCase() ?? "*";
  const properties = propertyFilters(call.searchParams());
  if (query === "*" && properties.length === 0) return () => true;
  const found = (user: UserState) =>
    query === "*" ||
    user.id === query ||
    [user.email, user.username, user.firstName, user.lastName].some((value) => value?.toLowerCase().includes(query));
  return (user) =>
    properties.every(({ key, values }) => values.includes(ownValue(user.properties, key) ?? "")) && found(user);
}

/** Parses `properties[key]=value`. A key accepts several values, comma-separated or repeated. */
function propertyFilters(params: URLSearchParams): { key: string; values: string[] }[] {
  const keys = new Map<string, string[]>();
  for (const [name, value] of params) {
    const key = /^properties\[([^\]]+)\](?:\[\d*\])?$/.exec(name)?.[1];
    if (key !== undefined) keys.set(key, [...(keys.get(key) ?? []), ...value.split(",")]);
  }
  return [...keys].map(([key, values]) => ({ key, values }));
}
