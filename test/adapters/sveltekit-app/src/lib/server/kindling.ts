import { env } from "node:process";
import { error, redirect } from "@sveltejs/kit";
import { kindlingGuard } from "kindling/sveltekit";
import { openKindling } from "../../../../app-kindling.ts";

export const { kindling } = await openKindling({
  REDIS_URL: String(env.REDIS_URL),
  KINDLING_PREFIX: String(env.KINDLING_PREFIX),
  KINDE_ISSUER_URL: String(env.KINDE_ISSUER_URL),
  KINDE_CLIENT_ID: String(env.KINDE_CLIENT_ID),
});

export const requireFlag = kindlingGuard({ error, redirect });
