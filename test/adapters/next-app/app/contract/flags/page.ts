import { createElement } from "react";
import { readFlags } from "../read-flags.ts";

export default async function Page() {
  return createElement("pre", null, JSON.stringify(await readFlags()));
}
