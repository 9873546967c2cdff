import { readFileSync } from "node:fs";

/** Returns the version of this installation. */
export function readVersion(): string {
  // The build output is one level deeper than the sources.
  const root = import.meta.url.endsWith(".ts") ? "../.." : "../../..";
  const text = readFileSync(new URL(`${root}/package.json`, import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
