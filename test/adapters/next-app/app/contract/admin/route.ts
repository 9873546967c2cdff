import { withFlag } from "kindling/next";
import { readFlags } from "../read-flags.ts";

export const GET = withFlag(readFlags, "admin", (_request, { userId }) => new Response(`admin ${userId}`));
