import { kindeAuthClient } from "@kinde-oss/kinde-auth-sveltekit";
import { session } from "$lib/server/kinde";
import type { LayoutServerLoad } from "./$types";

export const load: LayoutServerLoad = async (event) => {
  const { flags, organization } = await event.locals.kindling();
  const { given_name: name } = await kindeAuthClient.getUser(session(event));
  return { flags, name, team: organization !== null };
};
