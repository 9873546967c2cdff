import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createJiti } from "jiti";
import { ConfigurationError } from "../errors.ts";
import type { Flags } from "./define-flags.ts";

/**
 * Loads the flags file: TypeScript or JavaScript, with no build step. `import … from "kindling"` works in it inside a
 * checkout of Kindling too.
 *
 * @param file path, relative to the working directory
 * @throws {ConfigurationError} when the file is missing, does not load, or exports no flags by default
 */
export async function loadFlags(file: string): Promise<Flags> {
  const path = resolve(file);
  if (!existsSync(path)) {
    throw new ConfigurationError([
      `KINDLING_FLAGS: there is no file ${path}. Create it, or point KINDLING_FLAGS to yours.`,
    ]);
  }
  const flags = await importDefault(path);
  if (!isFlags(flags)) {
    throw new ConfigurationError([`KINDLING_FLAGS: ${path} must export by default what defineFlags({ … }) returns.`]);
  }
  return flags;
}

async function importDefault(path: string): Promise<unknown> {
  // By address: written as imports, they would have this module depend on what depends on it.
  const load = (module: string): Promise<unknown> =>
    import(new URL(`${module}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url).href);
  const jiti = createJiti(import.meta.url, {
    virtualModules: { "kindling/reader": await load("../reader/index"), kindling: await load("../index") },
    fsCache: false,
    moduleCache: false,
  });
  try {
    return await jiti.import(path, { default: true });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigurationError([`KINDLING_FLAGS: ${path} does not load: ${reason}`], { cause });
  }
}

// Told by its mark and not by `instanceof`: the file may have been given another copy of this module.
function isFlags(value: unknown): value is Flags {
  return typeof value === "object" && value !== null && "kindling" in value && value.kindling === "flags";
}
