import { handleAuth } from "@kinde-oss/kinde-auth-sveltekit";

export const GET = (event) => handleAuth(event);
