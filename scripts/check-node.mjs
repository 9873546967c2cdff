const oldest = [20, 12];

/** Exits with one clear line when Node is too old, instead of with syntax errors. */
export function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return;
  console.error(`Kindling needs Node ${oldest.join(".")} or later; this is ${process.version}.`);
  process.exit(1);
}
