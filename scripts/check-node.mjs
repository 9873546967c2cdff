/** Returns whether the locked tools run on this version of Node: `^20.19 || >=22.12`, as vite and rolldown require. */
export function isSupported(version) {
  const [major, minor] = version.split(".").map(Number);
  return major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19);
}

/** Exits with one clear line when Node is too old, instead of with syntax errors. */
export function checkNode() {
  if (isSupported(process.versions.node)) return;
  console.error(`This repository needs Node 20.19 or 22.12, or later; this is ${process.version}.`);
  process.exit(1);
}
