import type { Handle } from "@sveltejs/kit";
import { sequence } from "@sveltejs/kit/hooks";
import { kindlingHandle } from "kindling/sveltekit";
import { kinde, token } from "$lib/server/kinde";
import { kindling, requireFlag } from "$lib/server/kindling";

/** Decides who enters which part of the app. */
const guard: Handle = async ({ event, resolve }) => {
  const { locals, route } = event;
  const within = (group: string) => route.id?.startsWith(group);
  if (within("/(app)")) {
    await requireFlag(locals.kindling, ({ suspended }) => !suspended, { signIn: "/", redirect: "/paused" });
  }
  if (within("/(app)/(studio)")) await requireFlag(locals.kindling, "onboarded", { redirect: "/welcome" });
  if (within("/(app)/(studio)/admin")) await requireFlag(locals.kindling, "admin");
  return resolve(event);
};

export const handle = sequence(kinde, kindlingHandle({ kindling, token }), guard);
