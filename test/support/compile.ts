import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

const cache = fileURLToPath(new URL("../../node_modules/.cache/", import.meta.url));

/**
 * Compiles a script with all it imports of this repository, as packages are compiled, and returns the file. `tsx`, which runs
 * everything else here, takes a second of processor time at start and 30 MB of memory, and adds a call for the name of each
 * function that code creates.
 *
 * @param folder where to write it, under `node_modules/.cache`
 */
export async function compile(script: string, folder: string): Promise<string> {
  const outfile = join(cache, folder, `${basename(script, ".ts")}.mjs`);
  await build({
    entryPoints: [script],
    outfile,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    plugins: [ownUrls],
    logLevel: "warning",
  });
  return outfile;
}

/** Lets each file find what lies beside it. */
const ownUrls: Plugin = {
  name: "own-urls",
  setup({ onLoad }) {
    onLoad({ filter: /\.tsx?$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href)),
      loader: path.endsWith("x") ? "tsx" : "ts",
    }));
  },
};
