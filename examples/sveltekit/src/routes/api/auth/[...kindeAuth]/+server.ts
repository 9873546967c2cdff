import { handleAuth } from "@kinde-oss/kinde-auth-sveltekit";
import type { RequestHandler } from "./$types";

/** `/api/auth/register`, `login`, `kinde_callback` and `logout`. */
export const GET: RequestHandler = (event) => handleAuth(event);
