import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Returns whether node_modules matches package-lock.json: `absent`, `outdated` or `current`. npm writes its list of what it
 * installed last, so an interrupted install counts as absent.
 */
export function installState(root) {
  const wanted = packagesIn(join(root, "package-lock.json"));
  const installed = packagesIn(join(root, "node_modules", ".package-lock.json"));
  if (installed === undefined) return "absent";
  const fits = Object.entries(wanted ?? {}).every(([path, { version, integrity, optional }]) => {
    // The root's own entry, and packages for other platforms, are not installed.
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
