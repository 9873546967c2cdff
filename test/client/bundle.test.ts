import { fileURLToPath } from "node:url";
import { build, type Metafile } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Measured size of the minified bundle, without compression, and the growth allowed before someone looks. */
const measuredBytes = 30_300;
const maxBytes = measuredBytes * 1.2;

describe("the main entry, bundled for browsers", () => {
  let code: string;
  let metafile: Metafile;

  beforeAll(async () => {
    const result = await build({
      absWorkingDir: root,
      entryPoints: ["packages/kindling/src/index.ts"],
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      write: false,
      metafile: true,
      logLevel: "silent",
    });
    code = result.outputFiles[0]?.text ?? "";
    metafile = result.metafile;
  });

  it("imports nothing", () => {
    expect(Object.values(metafile.outputs).flatMap(({ imports }) => imports)).toEqual([]);
    const inputs = Object.entries(metafile.inputs);
    expect(inputs.flatMap(([, { imports }]) => imports.filter(({ external }) => external))).toEqual([]);
    expect(inputs.map(([path]) => path).filter((path) => !path.startsWith("packages/kindling/src/"))).toEqual([]);
  });

  it("uses no global that only Node has", () => {
    expect(code).not.toMatch(/\b(process|Buffer|require|__dirname|setImmediate)\b/);
  });

  it("stays small", () => {
    expect(code.length).toBeGreaterThan(1_000);
    expect(Buffer.byteLength(code)).toBeLessThan(maxBytes);
  });
});
