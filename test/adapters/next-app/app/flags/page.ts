import { createElement } from "react";
import { readFlags } from "../../lib/flags.ts";

export default async function Page() {
  return createElement("pre", null, JSON.stringify(await readFlags()));
}
