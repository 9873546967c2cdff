"use server";

import { requireFlag } from "kindling/next";
import { redirect } from "next/navigation";
import { readFlags, signIn } from "../../lib/flags";
import { kindling } from "../../lib/kindling";

/** Finishes onboarding. The next request of this user sees it, on every server. */
export async function finish() {
  const { userId } = await requireFlag(readFlags, () => true, { signIn });
  await kindling.setProperties(userId, { onboarded: true });
  redirect("/notes");
}
