import { requireFlag } from "kindling/next";
import { createElement } from "react";
import { readFlags } from "../read-flags.ts";

export default async function Page() {
  await requireFlag(readFlags, (flags) => !flags.suspended);
  return createElement("p", null, "active");
}
