import { randomBytes } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type GenericSchema, makeFunctionReference, type SchemaDefinition } from "convex/server";
import { convexTest, type TestConvex } from "convex-test";
import { build } from "esbuild";
import type { FlagsRecord } from "kindling/contract";
import ts from "typescript";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Change } from "../../src/push/change.ts";
import { createDeliver } from "../../src/push/deliver.ts";
import { blocks, pages, root } from "../docs/markdown.ts";
import { testUser } from "../support/signer.ts";

/** What `npx convex codegen` writes, without a deployment. */
const generated = {
  "_generated/api.ts": `import { type ApiFromModules, anyApi } from "convex/server";
import type * as flags from "../flags";
import type * as http from "../http";
export const internal: ApiFromModules<{ flags: typeof flags; http: typeof http }> = anyApi as never;
`,
  "_generated/server.ts": `import { httpActionGeneric, internalMutationGeneric, queryGeneric } from "convex/server";
import type { DataModelFromSchemaDefinition, MutationBuilder, QueryBuilder } from "convex/server";
import type schema from "../schema";
type DataModel = DataModelFromSchemaDefinition<typeof schema>;
export const query: QueryBuilder<DataModel, "public"> = queryGeneric;
export const internalMutation: MutationBuilder<DataModel, "internal"> = internalMutationGeneric;
export const httpAction = httpActionGeneric;
`,
  "environment.d.ts": "declare const process: { env: Record<string, string | undefined> };\n",
};

/** The files of the recipe, by the names that the lines before the blocks give. */
const files = Object.fromEntries(
  blocks
    .filter(({ marker }) => marker === "convex")
    .map(({ file, line, code }) => {
      const [, name = ""] = /`convex\/(\w+\.ts)`/.exec(pages.get(file)?.split("\n")[line - 3] ?? "") ?? [];
      return [name, `${code}\n`];
    }),
);

const secret = `whsec_${randomBytes(32).toString("base64")}`;
const sources = { ...files, ...generated };
// Below the repository, so that packages are found.
const folder = join(root, "node_modules/.cache", `convex-${process.pid}`);
let schema: SchemaDefinition<GenericSchema, boolean>;
let modules: Record<string, () => Promise<unknown>>;
let convex: TestConvex<typeof schema>;

beforeAll(async () => {
  await mkdir(join(folder, "_generated"), { recursive: true });
  await Promise.all(Object.entries(sources).map(([name, text]) => writeFile(join(folder, name), text)));
  const entryPoints = Object.keys(files).map((name) => join(folder, name));
  await build({ entryPoints, bundle: true, packages: "external", format: "esm", outdir: join(folder, "built") });
  const load = (name: string) => import(pathToFileURL(join(folder, "built", name)).href);
  schema = (await load("schema.js")).default;
  modules = {
    "./flags.js": () => load("flags.js"),
    "./http.js": () => load("http.js"),
    // By its name, convex-test finds where the modules are.
    "./_generated/api.js": async () => ({}),
  };
}, 60_000);

beforeEach(() => {
  vi.stubEnv("KINDLING_PUSH_SECRET", secret);
  convex = convexTest(schema, modules);
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const record = (tier: string, ticket: number): FlagsRecord => {
  return { flags: { tier }, status: "present", fetchedAt: 1, ticket, schema: "x" };
};
const change = (userId: string, tier: string, ticket: number, id = `${ticket}-0`): Change => {
  return { id, userId, record: record(tier, ticket), previous: null };
};
/** Sends a change as the service does, with Convex for the network. */
const deliver = (sent: Change, by = secret) =>
  createDeliver({
    url: "https://happy-otter-123.convex.site/kindling",
    secrets: [by],
    fetch: (url, init) => convex.fetch(new URL(String(url)).pathname, init),
    now: Date.now,
    timeoutMs: 5_000,
  })(sent, new AbortController().signal);
const query = makeFunctionReference<"query">("flags:mine");
const mine = (subject: string) => convex.withIdentity({ subject }).query(query, {});

describe("the recipe for Convex", () => {
  it("type-checks against Convex's own types", () => {
    expect(Object.keys(files).sort()).toEqual(["flags.ts", "http.ts", "schema.ts"]);
    const program = ts.createProgram(
      Object.keys(sources).map((name) => join(folder, name)),
      {
        strict: true,
        noEmit: true,
        skipLibCheck: true,
        target: ts.ScriptTarget.ES2022,
        lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
        module: ts.ModuleKind.ESNext,
        moduleResolution: ts.ModuleResolutionKind.Bundler,
        types: [],
      },
    );
    const problems = ts
      .getPreEmitDiagnostics(program)
      .map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
    expect(problems).toEqual([]);
  }, 60_000);

  it("needs nothing that Convex's runtime lacks", async () => {
    const { errors } = await build({
      entryPoints: [join(folder, "http.ts")],
      bundle: true,
      platform: "browser",
      format: "esm",
      write: false,
      logLevel: "silent",
    });
    expect(errors).toEqual([]);
  });

  it("stores a change, which its user alone reads", async () => {
    const [one, other] = [testUser(1), testUser(2)];
    await deliver(change(one, "pro", 5));
    expect(await mine(one)).toMatchObject({ flags: { tier: "pro" }, status: "present", ticket: 5 });
    expect(await mine(other)).toBeNull();
    expect(await convex.query(query, {})).toBeNull();
  });

  it("keeps the highest ticket, whatever the order, and takes a repetition", async () => {
    const user = testUser(1);
    await deliver(change(user, "pro", 5));
    await deliver(change(user, "pro", 5));
    await deliver(change(user, "free", 4));
    expect(await mine(user)).toMatchObject({ flags: { tier: "pro" }, ticket: 5 });
    await deliver(change(user, "enterprise", 6));
    expect(await mine(user)).toMatchObject({ flags: { tier: "enterprise" }, ticket: 6 });
  });

  it("keeps the later one of two changes with the same ticket, whatever the order", async () => {
    const user = testUser(1);
    await deliver(change(user, "pro", 5, "1795486051415-10"));
    await deliver(change(user, "free", 5, "1795486051415-9"));
    expect(await mine(user)).toMatchObject({ flags: { tier: "pro" } });
    await deliver(change(user, "enterprise", 5, "1795486051416-0"));
    expect(await mine(user)).toMatchObject({ flags: { tier: "enterprise" } });
  });

  it("refuses what the secret did not sign, and stores nothing of it", async () => {
    const forged = deliver(change(testUser(1), "pro", 5), `whsec_${randomBytes(32).toString("base64")}`);
    await expect(forged).rejects.toMatchObject({ code: "push_refused", message: expect.stringContaining("401") });
    expect(await mine(testUser(1))).toBeNull();
  });

  it("fails, so that Kindling tries again, while the deployment has no secret", async () => {
    vi.stubEnv("KINDLING_PUSH_SECRET", "");
    await expect(deliver(change(testUser(1), "pro", 5))).rejects.toMatchObject({ code: /push_(failed|refused)/ });
  });
});
