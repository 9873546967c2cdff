import { env } from "node:process";
import { kindlingNext } from "kindling/next";
import { cookies } from "next/headers.js";
import { openKindling } from "../../../app-kindling.ts";

const { kindling } = await openKindling({
  REDIS_URL: String(env.CONTRACT_REDIS_URL),
  KINDLING_PREFIX: String(env.CONTRACT_KINDLING_PREFIX),
  KINDE_ISSUER_URL: String(env.CONTRACT_KINDE_ISSUER_URL),
  KINDE_CLIENT_ID: String(env.CONTRACT_KINDE_CLIENT_ID),
});

export const readFlags = kindlingNext({ kindling, token: async () => (await cookies()).get("token")?.value });
