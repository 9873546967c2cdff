import { take } from "../api/paging.ts";
import type { World } from "../kinde/world.ts";
import type { UserState } from "../state/user-state.ts";

/** Users examined at most: a search in ten million must not keep the page waiting. */
const MAX_EXAMINED = 200_000;

export interface FoundUsers {
  users: UserState[];
  /** More users match, or were not examined. */
  more: boolean;
}

/** Finds users by a part of their name, email address, phone number, username or id. The empty query finds everybody. */
export async function findUsers(world: World, query: string, limit: number): Promise<FoundUsers> {
  const wanted = query.trim().toLowerCase();
  const exact = world.users.get(query.trim()) ?? world.users.findByIdentity(query.trim());
  let examined = 0;
  const matches = (user: UserState) => user.id !== exact?.id && matchesQuery(user, wanted);
  const bounded = function* () {
    for (const user of world.users.walk()) {
      if (examined >= MAX_EXAMINED) return;
      examined += 1;
      yield user;
    }
  };
  const found = await take(bounded(), limit + 1, matches);
  const users = [...(exact ? [exact] : []), ...found];
  return { users: users.slice(0, limit), more: users.length > limit || examined >= MAX_EXAMINED };
}

function matchesQuery(user: UserState, wanted: string): boolean {
  if (wanted === "") return true;
  const name = `${user.firstName ?? ""} ${user.lastName ?? ""}`;
  return [name, user.email, user.username, user.phone, user.id].some((value) => value?.toLowerCase().includes(wanted));
}
