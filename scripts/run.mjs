// node scripts/run.mjs <what> [argument …]: runs a TypeScript file of this checkout, or a tool of its dependencies, after
// installing these if need be. It runs in this very process, so that signals and the exit code need nobody to pass them on.
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
