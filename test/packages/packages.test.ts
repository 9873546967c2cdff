import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const packages = ["kindling", "kinde-emulator", "kindling-server"] as const;
type Package = (typeof packages)[number];

const execute = promisify(execFile);
const npm = (args: readonly string[], cwd: string) =>
  execute("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline"], { cwd });
const node = (cwd: string, ...args: string[]) => execute(process.execPath, args, { cwd });

let folder: string;
const tarballs = {} as Record<Package, string>;

// Built and packed once, as a release does it.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "kindling-packages-"));
  await npm(["run", "build"], root);
  const workspaces = ["--workspace", "kindling", "--workspace", "kinde-emulator", "--include-workspace-root"];
  const { stdout } = await npm(["pack", "--json", "--pack-destination", folder, ...workspaces], root);
  const packed = JSON.parse(stdout.slice(stdout.indexOf("["))) as { name: Package; filename: string }[];
  for (const { name, filename } of packed) tarballs[name] = join(folder, filename);
}, 120_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

/** An empty project with these packages installed. */
async function project(...names: Package[]): Promise<string> {
  const cwd = await mkdtemp(join(folder, "project-"));
  await writeFile(join(cwd, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  await npm(["install", ...names.map((name) => tarballs[name])], cwd);
  return cwd;
}

const flagsFile = `import { defineFlags, permission, property } from "kindling";

export default defineFlags({
  onboarded: property.boolean("onboarded", { default: false }),
  admin: permission("admin:access"),
});
`;

describe.each(packages)("%s, packed", (name) => {
  it("has no packaging mistake that publint knows", async () => {
    const data = await readFile(tarballs[name]);
    const tarball = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
    const { messages, pkg } = await publint({ pack: { tarball } });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  it("resolves with types from ES modules and bundlers", async () => {
    const data = createPackageFromTarballData(new Uint8Array(await readFile(tarballs[name])));
    const { problems = [] } = (await checkPackage(data)) as { problems?: { kind: string; resolutionKind?: string }[] };
    // ES modules only, on purpose: CommonJS loads them with import(), and Node 10's resolution is not supported.
    const expected = problems.filter(
      ({ kind, resolutionKind }) => kind !== "CJSResolvesToESM" && resolutionKind !== "node10",
    );
    expect(expected).toEqual([]);
  });

  it("contains source maps with their sources, and no tests or development code", async () => {
    const { stdout } = await execute("tar", ["-tzf", tarballs[name]]);
    const files = stdout.trim().split("\n");
    expect(files.some((file) => file.endsWith(".d.ts"))).toBe(true);
    expect(
      files.filter((file) =>
        /(^|\/)(test|bench|demo|scripts\/[^/]+\.mjs)(\/|$)|tsbuildinfo|\.ts$/.test(file.replace(/\.d\.ts$/, "")),
      ),
    ).toEqual([]);
    const map = files.find((file) => file.endsWith("index.js.map"));
    const text = (await execute("tar", ["-xzOf", tarballs[name], String(map)])).stdout;
    expect((JSON.parse(text) as { sourcesContent: string[] }).sourcesContent[0]).toContain("export");
  });
});

describe("kindling in an empty project", () => {
  let cwd: string;

  beforeAll(async () => {
    cwd = await project("kindling");
    await writeFile(join(cwd, "kindling.flags.ts"), flagsFile);
    await writeFile(
      join(cwd, "app.ts"),
      `import { createReader, type InferFlags } from "kindling";
import definitions from "./kindling.flags.js";

type UserFlags = InferFlags<typeof definitions>;
const redis = { get: async () => null, mget: async (keys: string[]) => keys.map(() => null) };
const reader = createReader({ redis, definitions });
const { flags, status } = await reader.get("kp_0123456789abcdef");
const user: UserFlags = flags;
console.log(JSON.stringify({ user, status }));
`,
    );
  }, 60_000);

  it("is the only package installed", async () => {
    const installed = (await readdir(join(cwd, "node_modules"))).filter((name) => !name.startsWith("."));
    expect(installed).toEqual(["kindling"]);
  });

  it.each([
    { module: "nodenext", moduleResolution: "nodenext" },
    { module: "esnext", moduleResolution: "bundler" },
  ])(
    "type-checks with $moduleResolution resolution and runs",
    async ({ module, moduleResolution }) => {
      const compilerOptions = {
        target: "es2022",
        lib: ["es2022", "dom"],
        types: [],
        module,
        moduleResolution,
        strict: true,
        outDir: "out",
      };
      await writeFile(join(cwd, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
      await node(cwd, join(root, "node_modules/typescript/bin/tsc"));
      const { stdout } = await node(cwd, "out/app.js");
      expect(JSON.parse(stdout)).toEqual({ user: { onboarded: false, admin: false }, status: "missing" });
    },
    30_000,
  );
});

describe("the optional entries of kindling", () => {
  const peers = ["@openfeature/core", "@openfeature/server-sdk", "@sveltejs/kit", "express", "fastify", "hono", "jose"];
  let cwd: string;

  /** A project with these peers of the repository. */
  const link = async (...names: string[]) => {
    for (const name of names) {
      const path = join(cwd, "node_modules", name);
      await mkdir(dirname(path), { recursive: true });
      await symlink(join(root, "node_modules", name), path);
    }
  };
  const load = (...entries: string[]) => {
    const imports = entries.map((entry) => `await import("kindling/${entry}")`);
    return node(cwd, "--input-type=module", "--eval", `console.log([${imports}].flatMap(Object.keys).sort().join())`);
  };

  beforeEach(async () => {
    cwd = await project("kindling");
  }, 60_000);

  it("without any peer: Express, Fastify, SvelteKit and the test reader", async () => {
    const { stdout } = await load("express", "fastify", "sveltekit", "testing");
    expect(stdout.trim()).toBe(
      "acceptUserIds,createTestReader,kindlingExpress,kindlingFastify,kindlingGuard,kindlingHandle",
    );
    await expect(load("request")).rejects.toMatchObject({ stderr: expect.stringContaining("'jose'") });
  });

  it("with their peers: requests, Hono and OpenFeature", async () => {
    await link(...peers);
    const { stdout } = await load("request", "hono", "openfeature");
    expect(stdout.trim()).toBe(
      "createOpenFeatureProvider,createRequestReader,createVerifier,findRefusal,kindlingHono,oncePerProcess,perRequest",
    );
  });

  it("type-check under strict settings, types of peers included", { timeout: 60_000 }, async () => {
    await link(...peers, "@types");
    await writeFile(join(cwd, "kindling.flags.ts"), flagsFile);
    await writeFile(
      join(cwd, "app.ts"),
      `import { Hono } from "hono";
import { kindlingHono } from "kindling/hono";
import { createRequestReader, createVerifier } from "kindling/request";
import { createTestReader } from "kindling/testing";
import definitions from "./kindling.flags.js";

const reader = createTestReader({}, { definitions });
const verify = createVerifier({ issuer: "https://acme.kinde.com", clientIds: ["app"] });
const flags = kindlingHono({ kindling: createRequestReader({ reader, verify }) });
new Hono().use(flags).get("/", flags.require("admin"), async (c) => {
  const admin: boolean = (await c.var.kindling()).flags.admin;
  return c.json({ admin });
});
`,
    );
    const compilerOptions = {
      target: "es2022",
      lib: ["es2022", "dom"],
      module: "nodenext",
      strict: true,
      noEmit: true,
    };
    await writeFile(join(cwd, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
    await node(cwd, join(root, "node_modules/typescript/bin/tsc"));
  });
});

describe("kinde-emulator in an empty project", () => {
  it("starts from its command and from code", { timeout: 60_000 }, async () => {
    const cwd = await project("kinde-emulator");
    const help = await execute(join(cwd, "node_modules/.bin/kinde-emulator"), ["--help"]);
    expect(help.stdout).toContain("Usage: kinde-emulator");
    const script = `import { createEmulator } from "kinde-emulator";
const kinde = await createEmulator({ users: 3 });
console.log(kinde.kinde.userCount);
await kinde.close();`;
    await writeFile(join(cwd, "app.mjs"), script);
    expect((await node(cwd, "app.mjs")).stdout.trim()).toBe("3");
  });
});

describe("kindling-server in an empty project", () => {
  it("runs its command with a TypeScript flags file, without the demo", { timeout: 120_000 }, async () => {
    const cwd = await project("kindling", "kindling-server");
    await writeFile(join(cwd, "kindling.flags.ts"), flagsFile);
    const kindling = join(cwd, "node_modules/.bin/kindling");
    expect((await execute(kindling, ["--help"])).stdout).toContain("kindling");
    // The settings are complete and nothing listens there: it gets as far as Redis.
    const env = {
      PATH: process.env.PATH,
      KINDE_DOMAIN: "http://127.0.0.1:1",
      KINDE_MANAGEMENT_CLIENT_ID: "id",
      KINDE_MANAGEMENT_CLIENT_SECRET: "secret",
      REDIS_URL: "redis://127.0.0.1:1",
      KINDLING_REDIS_TIMEOUT: "200ms",
    };
    const failed = await execute(kindling, ["worker"], { cwd, env }).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 3, stderr: expect.stringContaining("Redis") });
    await expect(execute(kindling, ["demo"], { cwd })).rejects.toMatchObject({ code: 2 });
    await expect(execute(kindling, ["emulator"], { cwd })).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining("npm install --save-dev kinde-emulator"),
    });
    const harness = `import { startKindling } from "kindling-server/testing"; console.log(typeof startKindling);`;
    await writeFile(join(cwd, "harness.mjs"), harness);
    await expect(node(cwd, "harness.mjs")).rejects.toMatchObject({ stderr: expect.stringContaining("kinde-emulator") });
    const load = `import { createService, createWriter } from "kindling-server";
import definitions from "./definitions.mjs";
console.log(typeof createService, typeof createWriter({ definitions, env: {} }).setProperties);`;
    await writeFile(join(cwd, "app.mjs"), load);
    await writeFile(join(cwd, "definitions.mjs"), flagsFile);
    expect((await node(cwd, "app.mjs")).stdout.trim()).toBe("function function");
    expect(basename(tarballs["kindling-server"])).toMatch(/^kindling-server-\d/);
  });
});
