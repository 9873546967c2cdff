import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createJiti } from "jiti";
import type { Definitions } from "kindling";
import { ConfigurationError } from "./errors.ts";

/**
 * Loads the flags file: TypeScript or JavaScript, with no build step. `import … from "kindling"` works in it inside a
 * checkout of Kindling too.
 *
 * @param file path, relative to the working directory
 * @throws {ConfigurationError} when the file is missing, does not load, or exports no flags by default
 */
export async function loadDefinitions(file: string): Promise<Definitions> {
  const path = resolve(file);
  if (!existsSync(path)) {
    throw new ConfigurationError([
      `KINDLING_FLAGS: there is no file ${path}. Create it, or point KINDLING_FLAGS to yours.`,
    ]);
  }
  const definitions = await importDefault(path);
  if (!isDefinitions(definitions)) {
    throw new ConfigurationError([`KINDLING_FLAGS: ${path} must export by default what defineFlags({ … }) returns.`]);
  }
  return definitions;
}

async function importDefault(path: string): Promise<unknown> {
  const jiti = createJiti(import.meta.url, {
    // The file gets this process's copy of the client: nothing is transpiled twice, and it need not be installed there.
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

// Recognized by its mark, not by `instanceof`: the file may have imported another copy of the client.
function isDefinitions(value: unknown): value is Definitions {
  return typeof value === "object" && value !== null && "kindling" in value && value.kindling === "flags";
}
