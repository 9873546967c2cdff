import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tsImport } from "tsx/esm/api";
import { describe, expect, it } from "vitest";
import { TextDocument } from "vscode-languageserver-textdocument";
import { parse } from "yaml";
import { z } from "zod";

const root = new URL("../../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
const list = (folder: string) =>
  readdirSync(new URL(folder, root))
    .filter((name) => /\.ya?ml$/.test(name))
    .map((name) => `${folder}/${name}`);
const packageOf = (folder: string) => JSON.parse(read(`${folder}package.json`)) as Package;

interface Package {
  name: string;
  scripts: Record<string, string>;
}

// GitHub's own validator. It imports JSON without an import attribute, which Node refuses and tsx allows.
const { validate } = (await tsImport(
  "@actions/languageservice",
  import.meta.url,
)) as typeof import("@actions/languageservice");

async function problemsIn(file: string, text: string): Promise<string[]> {
  const diagnostics = await validate(TextDocument.create(`file:///${file}`, "github-actions-workflow", 1, text));
  return diagnostics.map(({ message, range }) => `${file}:${range.start.line + 1}: ${message}`);
}

const workflows = list(".github/workflows");

describe("workflows", () => {
  it.each(workflows)("%s is valid", async (file) => {
    expect(await problemsIn(file, read(file))).toEqual([]);
  });

  it.each([
    ["an unknown key", "    runs-on: ubuntu-latest\n", "    run-on: ubuntu-latest\n"],
    ["a need for a missing job", "    runs-on: ubuntu-latest\n", "    runs-on: ubuntu-latest\n    needs: nothing\n"],
    ["an unknown permission", "  contents: read", "  content: read"],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a GitHub expression.
    ["an unclosed expression", "${{ matrix.node }}", "${{ matrix.node"],
  ])("are checked for %s", async (_, good, bad) => {
    const text = read(".github/workflows/ci.yml");
    expect(text).toContain(good);
    expect(await problemsIn("ci.yml", text.replace(good, bad))).not.toEqual([]);
  });

  it.each(workflows)("%s pins every action to a commit", (file) => {
    const uses = [...read(file).matchAll(/uses: (.+)$/gm)].map(([, action]) => String(action));
    const pinned = /^[\w.-]+(\/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/;
    expect(uses.filter((action) => !action.startsWith("./") && !pinned.test(action))).toEqual([]);
  });

  it.each(workflows)("%s sets default permissions that cannot write", (file) => {
    const { permissions } = z.object({ permissions: z.record(z.string(), z.string()) }).parse(parse(read(file)));
    expect(Object.values(permissions).filter((access) => access !== "read")).toEqual([]);
  });

  it.each(workflows)("%s installs without running scripts", (file) => {
    const installs = [...read(file).matchAll(/npm (?:ci|install)\b.*/g)].map(([command]) => command);
    expect(installs.filter((command) => !command.includes("--ignore-scripts"))).toEqual([]);
  });
});

describe("npm scripts", () => {
  const { scripts } = packageOf("");

  it.each([...workflows, "CONTRIBUTING.md", ".github/PULL_REQUEST_TEMPLATE.md"])("named in %s exist", (file) => {
    const named = [...read(file).matchAll(/npm (?:run ([\w:-]+)|(test|start)\b)/g)].map(
      ([, run, short]) => run ?? short,
    );
    expect(named.filter((name) => scripts[String(name)] === undefined)).toEqual([]);
  });
});

describe("dependabot.yml", () => {
  const update = z.strictObject({
    "package-ecosystem": z.enum(["npm", "github-actions", "docker", "docker-compose"]),
    directory: z.string().startsWith("/"),
    schedule: z.strictObject({ interval: z.enum(["daily", "weekly", "monthly"]) }),
    "open-pull-requests-limit": z.int().positive().optional(),
    "versioning-strategy": z.enum(["auto", "increase", "increase-if-necessary", "lockfile-only", "widen"]).optional(),
    "commit-message": z.strictObject({ prefix: z.string().max(50) }).optional(),
    ignore: z
      .array(
        z.strictObject({
          "dependency-name": z.string(),
          "update-types": z.array(z.templateLiteral(["version-update:semver-", z.enum(["major", "minor", "patch"])])),
        }),
      )
      .optional(),
    groups: z
      .record(
        z.string(),
        z.strictObject({
          "dependency-type": z.enum(["development", "production"]).optional(),
          "update-types": z.array(z.enum(["major", "minor", "patch"])).optional(),
          patterns: z.array(z.string()).optional(),
        }),
      )
      .optional(),
  });
  const parsed = z.strictObject({ version: z.literal(2), updates: z.array(update).min(1) });

  it("is valid, and every directory it names has what it updates", () => {
    const { updates } = parsed.parse(parse(read(".github/dependabot.yml")));
    const manifests = {
      npm: "package.json",
      docker: "Dockerfile",
      "docker-compose": "docker-compose.yml",
      "github-actions": ".github/workflows",
    };
    const paths = updates.map(
      (each) => `.${each.directory.replace(/\/?$/, "/")}${manifests[each["package-ecosystem"]]}`,
    );
    expect(paths.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
  });
});

describe("issue forms", () => {
  const form = z.strictObject({
    name: z.string(),
    description: z.string(),
    labels: z.array(z.string()),
    body: z.array(
      z.strictObject({
        type: z.enum(["markdown", "textarea", "input", "dropdown", "checkboxes"]),
        id: z.string().optional(),
        attributes: z.record(z.string(), z.unknown()),
        validations: z.strictObject({ required: z.boolean() }).optional(),
      }),
    ),
  });

  it.each(list(".github/ISSUE_TEMPLATE").filter((file) => !file.endsWith("/config.yml")))("%s is valid", (file) => {
    const fields = form.parse(parse(read(file))).body.filter(({ type }) => type !== "markdown");
    const ids = fields.map(({ id }) => id);
    expect(ids).not.toContain(undefined);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("changesets", () => {
  it("release all packages under one version", () => {
    const { fixed } = JSON.parse(read(".changeset/config.json")) as { fixed: string[][] };
    const folders = readdirSync(new URL("packages", root)).map((name) => `packages/${name}/`);
    const names = ["", ...folders].map((folder) => packageOf(folder).name);
    expect(fixed.map((group) => [...group].sort())).toEqual([names.sort()]);
  });
});
