import { sessionHooks } from "@kinde-oss/kinde-auth-sveltekit";

export async function handle({ event, resolve }) {
  sessionHooks({ event });
  return resolve(event);
}
