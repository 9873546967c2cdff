import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Whether node_modules holds what package-lock.json asks for: `absent`, `outdated` or `current`. npm writes its own list
 * of what it installed last of all, so an interrupted install counts as absent.
 */
export function installState(root) {
  const wanted = packagesIn(join(root, "package-lock.json"));
  const installed = packagesIn(join(root, "node_modules", ".package-lock.json"));
  if (installed === undefined) return "absent";
  const fits = Object.entries(wanted ?? {}).every(([path, { version, integrity, optional }]) => {
    // The root's own entry; and what is made for other platforms is not installed on this one.
    if (path === "" || (optional && installed[path] === undefined)) return true;
    return installed[path]?.version === version && installed[path]?.integrity === integrity;
  });
  return fits ? "current" : "outdated";
}

function packagesIn(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages;
  } catch {
    return undefined;
  }
}
