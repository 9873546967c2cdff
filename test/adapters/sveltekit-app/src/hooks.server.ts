import type { Handle, RequestEvent } from "@sveltejs/kit";
import { kindlingHandle } from "kindling/sveltekit";
import { kindling } from "./lib/server/kindling.ts";

export const handle: Handle = kindlingHandle({ kindling, token: ({ cookies }: RequestEvent) => cookies.get("token") });
