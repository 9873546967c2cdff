import { type EventHandler, kindeAuthClient, sessionHooks } from "@kinde-oss/kinde-auth-sveltekit";
import type { Handle, RequestEvent } from "@sveltejs/kit";

/** Kinde's hook gives the request its session: it is what the SDK's functions take. */
export const kinde: Handle = async ({ event, resolve }) => {
  await sessionHooks({ event: event as EventHandler });
  return resolve(event);
};

export const session = ({ request }: RequestEvent) => request as EventHandler["request"];

/** The access token, as old as the sign-in: it says who the user is, Kindling says what they may do. */
export const token = (event: RequestEvent) => kindeAuthClient.getToken(session(event));
