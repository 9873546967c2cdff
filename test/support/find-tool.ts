import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { canInstallFromApt, installFromApt } from "../../src/demo/embedded-redis.ts";

/** Returns the path of a tool. As root it is installed from a Debian package if it is missing. */
export async function findTool(name: string, debianPackage: string): Promise<string | undefined> {
  const found = onPath(name);
  if (found !== undefined || !canInstallFromApt()) return found;
  await installFromApt(debianPackage);
  return onPath(name);
}

/** Returns the path of a tool that is installed. */
export function onPath(name: string): string | undefined {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
