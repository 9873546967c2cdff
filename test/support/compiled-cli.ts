import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { compile } from "./compile.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** The file of the `kindling` command. */
    cli: string;
  }
}

/** Compiles the command that tests start processes with. */
export default async function setup(project: TestProject) {
  const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
  const file = await compile(main, `kindling-cli-${process.pid}`);
  project.provide("cli", file);
  return () => rm(dirname(file), { recursive: true });
}
