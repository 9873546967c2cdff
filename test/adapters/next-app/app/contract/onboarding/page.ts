import { requireFlag } from "kindling/next";
import { createElement } from "react";
import { readFlags } from "../read-flags.ts";

export default async function Page() {
  const { flags } = await requireFlag(readFlags, "onboarded", { signIn: "/login", redirect: "/welcome" });
  return createElement("p", null, `tier ${flags.tier}`);
}
