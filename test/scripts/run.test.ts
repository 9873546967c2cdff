import { spawnSync } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const { isSupported } = (await import(new URL("../../scripts/check-node.mjs", import.meta.url).href)) as {
  isSupported: (version: string) => boolean;
};

const wanted = {
  "": { version: "0.1.0" },
  "node_modules/tool": { version: "2.0.0", integrity: "sha512-b" },
  "node_modules/tool-for-another-platform": { version: "2.0.0", optional: true },
};
const tool =
  'console.log("tool ran:", ...process.argv.slice(2));\nprocess.exitCode = Number(process.env.TOOL_EXITS ?? 0);\n';

// Stands in for npm: notes how it was called and installs the tool, or fails as told.
const npm = `
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
console.log("npm chatters");
writeFileSync("npm-called.json", JSON.stringify(process.argv.slice(2)));
if (process.env.NPM_EXITS) process.exit(Number(process.env.NPM_EXITS));
mkdirSync("node_modules/.bin", { recursive: true });
cpSync("tool.js", "node_modules/.bin/tool");
cpSync("package-lock.json", "node_modules/.package-lock.json");
`;

describe("scripts/run.mjs", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "kindling-run-"));
    await cp(fileURLToPath(new URL("../../scripts", import.meta.url)), join(folder, "scripts"), { recursive: true });
    await write("package.json", JSON.stringify({ type: "module" }));
    await write("package-lock.json", JSON.stringify({ packages: wanted }));
    await write("tool.js", tool);
    await write("npm-cli.js", npm);
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  const write = (name: string, text: string) => writeFile(join(folder, name), text);
  const npmCall = () =>
    readFile(join(folder, "npm-called.json"), "utf8").then(
      (text) => JSON.parse(text) as string[],
      () => undefined,
    );
  const run = (env: Record<string, string> = {}, nodeArgs: readonly string[] = []) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...nodeArgs, "scripts/run.mjs", "tool", "--fast", "a b"],
      {
        cwd: folder,
        encoding: "utf8",
        env: { PATH: process.env.PATH, npm_execpath: join(folder, "npm-cli.js"), ...env },
      },
    );
    return { status, stdout, stderr };
  };
  const install = async (packages: Record<string, object>) => {
    await mkdir(join(folder, "node_modules/.bin"), { recursive: true });
    await write("node_modules/.bin/tool", tool);
    await write("node_modules/.package-lock.json", JSON.stringify({ packages }));
  };

  it("installs first on a fresh clone, development tools included, and keeps standard output clean", async () => {
    const { status, stdout, stderr } = run({ NODE_ENV: "production", npm_config_loglevel: "silent" });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "tool ran: --fast a b\n" });
    expect(stderr).toMatch(/^node_modules is missing: running npm ci …\nnpm chatters\nInstalled in [\d.]+ s\.\n$/);
    expect(await npmCall()).toEqual(expect.arrayContaining(["ci", "--include=dev", "--loglevel=error"]));
  });

  it("says and does nothing when everything is there; what is for other platforms need not be", async () => {
    await install({ "node_modules/tool": wanted["node_modules/tool"] });
    expect(run()).toEqual({ status: 0, stdout: "tool ran: --fast a b\n", stderr: "" });
    expect(await npmCall()).toBeUndefined();
  });

  it.each([
    ["another version", { "node_modules/tool": { version: "1.0.0", integrity: "sha512-b" } }],
    ["another content", { "node_modules/tool": { version: "2.0.0", integrity: "sha512-a" } }],
    ["a package less", {}],
  ])("installs again when node_modules has %s", async (_, packages) => {
    await install(packages);
    expect(run().stderr).toContain("node_modules does not match package-lock.json: running npm ci …");
    expect(await npmCall()).toBeDefined();
  });

  it("takes npm from PATH when another package manager runs it", async () => {
    await mkdir(join(folder, "bin"));
    await write("bin/npm", `#!/bin/sh\nexec "${process.execPath}" "${join(folder, "npm-cli.js")}" "$@"\n`);
    await chmod(join(folder, "bin/npm"), 0o755);
    const PATH = `${join(folder, "bin")}:${process.env.PATH}`;
    expect(run({ npm_execpath: "/usr/lib/yarn.js", PATH }).status).toBe(0);
    expect(await npmCall()).toBeDefined();
  });

  it("ends with npm's exit code when the install fails", () => {
    const { status, stdout, stderr } = run({ NPM_EXITS: "7" });
    expect({ status, stdout }).toEqual({ status: 7, stdout: "" });
    expect(stderr).toContain("npm ci failed");
  });

  it("ends with the tool's exit code", async () => {
    await install({ "node_modules/tool": wanted["node_modules/tool"] });
    expect(run({ TOOL_EXITS: "5" }).status).toBe(5);
  });

  it("says in one line that Node is too old", () => {
    const old = 'data:text/javascript,Object.defineProperty(process,"versions",{value:{node:"20.11.1"}})';
    const { status, stderr } = run({}, ["--import", old]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^This repository needs Node 20\.19 or 22\.12, or later; this is v\S+\.\n$/);
  });
});

it("scripts/check-node.mjs accepts what vite accepts", async () => {
  const { engines } = JSON.parse(await readFile("node_modules/vite/package.json", "utf8"));
  expect(engines.node).toBe("^20.19.0 || >=22.12.0");
  expect(["20.19.0", "22.12.0", "24.0.0"].filter(isSupported)).toHaveLength(3);
  expect(["18.20.8", "20.18.1", "21.7.3", "22.11.0"].filter(isSupported)).toEqual([]);
});
