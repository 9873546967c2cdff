import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(root, "test/client/readme");
const examples = [...readFileSync(join(root, "packages/kindling/README.md"), "utf8").matchAll(/```ts\n(.*?)```/gs)].map(
  ([, code = ""]) => code,
);

/** What the shorter examples take for granted. */
const given = `
import { Redis as GivenRedis } from "ioredis";
import { createReader as givenReader } from "kindling";
import given from "./kindling.flags.js";
const reader = givenReader({ redis: new GivenRedis(), definitions: given });
const userId = "kp_0123456789abcdef";
const token = "";
`;

/** node-redis is not installed: this is the part of its types that the adapter uses. */
const nodeRedis = `
interface Client {
  on(event: "error", listener: (error: unknown) => void): Client;
  connect(): Promise<Client>;
  get(key: string): Promise<string | null>;
  mGet(keys: string[]): Promise<(string | null)[]>;
  sendCommand(args: readonly string[]): Promise<unknown>;
}
declare module "redis" {
  export function createClient(options: { url: string }): Client;
}
`;

it("shows only examples that compile under strict and exactOptionalPropertyTypes", () => {
  const flagsFile = examples.find((code) => code.includes("export default defineFlags"));
  const sources = new Map([
    [join(folder, "kindling.flags.ts"), flagsFile ?? ""],
    [join(folder, "redis.d.ts"), nodeRedis],
    ...examples.map((code, index): [string, string] => [
      join(folder, `example-${index}.ts`),
      `${/\breader\b/.test(code) && !code.includes("const reader") ? given : ""}${code}\nexport {};\n`,
    ]),
  ]);
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, root);
  const settings = { ...options, noEmit: true, noUnusedLocals: false };
  const host = ts.createCompilerHost(settings);
  const { fileExists, readFile, getSourceFile } = host;
  host.directoryExists = (path) => path === folder || ts.sys.directoryExists(path);
  host.fileExists = (path) => sources.has(path) || fileExists(path);
  host.readFile = (path) => sources.get(path) ?? readFile(path);
  host.getSourceFile = (path, target, ...rest) => {
    const text = sources.get(path);
    return text === undefined ? getSourceFile(path, target, ...rest) : ts.createSourceFile(path, text, target);
  };
  const program = ts.createProgram([...sources.keys()], settings, host);
  const problems = ts
    .getPreEmitDiagnostics(program)
    .map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
  expect(examples.length).toBeGreaterThanOrEqual(8);
  expect(problems).toEqual([]);
}, 60_000);
