import { getKindeServerSession } from "@kinde-oss/kinde-auth-nextjs/server";
import { kindlingNext } from "kindling/next";
import { kindling } from "./kindling";

/** Reads the caller's flags, once per render. */
export const readFlags = kindlingNext({ kindling, token: () => getKindeServerSession().getAccessTokenRaw() });

export const signIn = "/api/auth/login";
