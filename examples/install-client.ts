import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = fileURLToPath(new URL("../packages/kindling/", import.meta.url));

/**
 * Installs the client into `<folder>/node_modules`, built from its sources: apps and frameworks treat packages there
 * differently from sources. Processes that run at the same time write the same files, each by an atomic rename.
 */
export async function installClient(folder: string): Promise<void> {
  const target = join(folder, "node_modules/kindling");
  const manifest = await readFile(join(source, "package.json"), "utf8");
  const { exports } = JSON.parse(manifest) as { exports: Record<string, string | { default: string }> };
  const modules = Object.values(exports)
    .flatMap((entry) => (typeof entry === "string" ? [] : [entry.default]))
    .map((path) => ({ path, entry: path.replace("./dist/", "src/").replace(/\.js$/, ".ts") }));
  const { outputFiles } = await build({
    absWorkingDir: source,
    entryPoints: modules.map(({ entry }) => entry),
    outbase: "src",
    outdir: "dist",
    bundle: true,
    splitting: true,
    packages: "external",
    format: "esm",
    target: "es2022",
    write: false,
    logLevel: "silent",
  });
  const files = outputFiles.map(({ path, contents }) => ({ path: join(target, path.slice(source.length)), contents }));
  // Types come from the sources, so that an editor shows them and a type check covers them.
  const types = modules.map(({ path, entry }) => {
    const file = join(target, path.replace(/\.js$/, ".d.ts"));
    const module = relative(dirname(file), join(source, entry));
    return { path: file, contents: `export * from ${JSON.stringify(module)};\n` };
  });
  for (const { path, contents } of [...files, ...types, { path: join(target, "package.json"), contents: manifest }]) {
    await mkdir(dirname(path), { recursive: true });
    const draft = `${path}.${process.pid}`;
    await writeFile(draft, contents);
    await rename(draft, path);
  }
}
