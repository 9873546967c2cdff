// node scripts/run.mjs <what> [argument …]: runs a TypeScript file of this checkout, or a tool from its dependencies, and
// installs these first if needed. Everything runs in this process, so signals and the exit code need no forwarding.
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { checkNode } from "./check-node.mjs";
import { ensureInstall } from "./ensure-install.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const [what, ...args] = process.argv.slice(2);

checkNode();
ensureInstall(root);
const isTypeScript = what.endsWith(".ts");
const file = isTypeScript ? join(root, what) : realpathSync(join(root, "node_modules", ".bin", what));
if (isTypeScript) await import("tsx");
process.argv = [process.execPath, file, ...args];
await import(pathToFileURL(file).href);
