import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createJiti } from "jiti";
import type { Definitions } from "kindling";
import { ConfigurationError } from "./errors.ts";

/**
 * Loads the flags file, which can be TypeScript or JavaScript, without a build step. The file can import `kindling` even
 * if the package is not installed next to it.
 *
 * @param file Path, relative to the working directory
 * @throws {ConfigurationError} if the file is missing, does not load, or has no default export from `defineFlags`
 */
export async function loadDefinitions(file: string): Promise<Definitions> {
  const path = resolve(file);
  if (!existsSync(path)) {
    throw new ConfigurationError([
      `KINDLING_FLAGS: there is no file ${path}. Create it, or set KINDLING_FLAGS to the path of your flags file.`,
    ]);
  }
  const definitions = await importDefault(path);
  if (!isDefinitions(definitions)) {
    throw new ConfigurationError([`KINDLING_FLAGS: ${path} must export by default the result of defineFlags({ … }).`]);
  }
  return definitions;
}

async function importDefault(path: string): Promise<unknown> {
  const jiti = createJiti(import.meta.url, {
    // The file gets this process's copy of the client, so the package need not be installed next to it.
    virtualModules: { kindling: await import("kindling") },
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

// Checks the brand instead of `instanceof`, because the file may import another copy of the client.
function isDefinitions(value: unknown): value is Definitions {
  return typeof value === "object" && value !== null && "kindling" in value && value.kindling === "flags";
}
