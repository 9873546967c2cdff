import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const source = fileURLToPath(new URL("../../packages/kindling/", import.meta.url));
const target = fileURLToPath(new URL("./node_modules/kindling/", import.meta.url));

/**
 * Installs the client for the apps in this folder, built from its sources: frameworks treat packages in `node_modules`
 * differently from sources. Test files that run at the same time write the same files, each by an atomic rename.
 */
export async function installClient(): Promise<void> {
  const manifest = await readFile(join(source, "package.json"), "utf8");
  const { exports } = JSON.parse(manifest) as { exports: Record<string, string | { default: string }> };
  const entries = Object.values(exports).flatMap((entry) => (typeof entry === "string" ? [] : [entry.default]));
  const { outputFiles } = await build({
    absWorkingDir: source,
    entryPoints: entries.map((path) => path.replace("./dist/", "src/").replace(/\.js$/, ".ts")),
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
  for (const { path, contents } of [...files, { path: join(target, "package.json"), contents: manifest }]) {
    await mkdir(dirname(path), { recursive: true });
    const draft = `${path}.${process.pid}`;
    await writeFile(draft, contents);
    await rename(draft, path);
  }
}
