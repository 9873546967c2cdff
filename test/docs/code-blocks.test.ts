import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { runEmulator } from "kinde-emulator/cli";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { createProgram } from "../../src/cli/create-program.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { type Block, blocks, pages, root } from "./markdown.ts";

/** Copies of the examples' files, whose types are checked there. */
const copies = blocks.filter(({ marker }) => marker.startsWith("from "));
/** The recipe that `test/push/convex.test.ts` checks and runs. */
const isRecipe = ({ marker }: Block) => marker === "convex";
const checked = blocks.filter((block) => !isRecipe(block) && !copies.includes(block));
const inLanguage = (...languages: string[]) => checked.filter(({ language }) => languages.includes(language));
const placeOf = ({ file, line }: Block) => `${file}:${line + 1}`;

/** What an app has besides the example. Modules that declare these names use their own. */
const surroundings = `
declare const userId: string;
declare const otherUserId: string;
declare const token: string;
declare const claims: import("kindling").UserClaims;
declare const definitions: typeof import("./kindling.flags.js").default;
declare const kindling: import("kindling").Kindling<import("kindling").InferFlags<typeof definitions>>;
declare const emulator: import("kinde-emulator").Emulator;
declare const expect: typeof import("vitest").expect;
declare function redirect(path: string): never;
declare module "$lib/server/kindling" {
  type Values = import("kindling").InferFlags<typeof definitions>;
  export const redis: import("ioredis").Redis;
  export const kindling: import("kindling").Kindling<Values, import("kindling/request").Verify, string>;
}
declare module "@/lib/kindling" {
  export { kindling } from "$lib/server/kindling";
}
declare module "@/lib/flags" {
  export const readFlags: import("kindling/next").ReadFlags<import("kindling").InferFlags<typeof definitions>>;
}
declare module "@playwright/test" {
  interface Fixtures {
    page: import("playwright-core").Page;
    request: import("playwright-core").APIRequestContext;
  }
  export function test(name: string, body: (fixtures: Fixtures) => Promise<void>): void;
  export function expect(locator: import("playwright-core").Locator): { toHaveText(text: string): Promise<void> };
}
declare module "redis" {
  interface Client {
    on(event: "error", listener: (error: unknown) => void): Client;
    connect(): Promise<Client>;
    get(key: string): Promise<string | null>;
    mGet(keys: string[]): Promise<(string | null)[]>;
    sendCommand(args: readonly string[]): Promise<unknown>;
  }
  export function createClient(options: { url: string }): Client;
}
`;

// The files of the repository and its dependencies, parsed and bound once for all programs.
let checkedBefore: ts.Program | undefined;

/**
 * Type-checks examples as modules in the root folder, so that `./kindling.flags.js` is the flags file there. A block
 * marked `continue` is checked together with the block before it. Every block keeps its line numbers.
 */
function typeCheck(examples: readonly Block[]): string[] {
  const modules: { file: string; lines: string[] }[] = [];
  for (const { file, line, marker, code } of examples) {
    const previous = modules.at(-1);
    const target = marker === "continue" && previous?.file === file ? previous : { file, lines: [] };
    if (target !== previous) modules.push(target);
    target.lines.push(...Array.from({ length: line - target.lines.length }, () => ""), ...code.split("\n"));
  }
  const ambient = join(root, "examples-surroundings.d.ts");
  const sources = new Map(
    modules.map(({ file, lines }, index) => [
      join(root, `example-${index}.ts`),
      { file, text: `${lines.join("\n")}\nexport {};\n` },
    ]),
  );
  sources.set(ambient, { file: "surroundings", text: surroundings });

  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, root);
  const settings: ts.CompilerOptions = { ...options, noUnusedLocals: false, noEmit: true };
  const host = ts.createCompilerHost(settings);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => sources.has(path) || fileExists(path);
  host.readFile = (path) => sources.get(path)?.text ?? readFile(path);
  host.getSourceFile = (path, target, ...rest) => {
    const source = sources.get(path);
    return source === undefined
      ? getSourceFile(path, target, ...rest)
      : ts.createSourceFile(path, source.text, target, true);
  };
  const program = ts.createProgram([...sources.keys()], settings, host, checkedBefore);
  checkedBefore = program;
  // Only the examples: what is wrong in the repository itself is for `tsc` to say.
  const diagnostics = [...sources.keys()].flatMap((path) => {
    const file = program.getSourceFile(path);
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
  });
  return diagnostics.flatMap(({ file, start = 0, messageText }) => {
    const source = file && sources.get(file.fileName);
    if (file === undefined || source === undefined) return [];
    const { line } = file.getLineAndCharacterOfPosition(start);
    return [`${source.file}:${line + 1} ${ts.flattenDiagnosticMessageText(messageText, "\n")}`];
  });
}

describe("TypeScript examples", () => {
  it("type-check under the repository's strict settings", () => {
    const examples = inLanguage("ts");
    expect(examples.length).toBeGreaterThan(30);
    expect(typeCheck(examples)).toEqual([]);
  }, 60_000);

  it("are reported with their line when they are wrong", () => {
    const block = (file: string, line: number, code: string, marker = ""): Block => {
      return { file, line, language: "ts", marker, code };
    };
    const problems = typeCheck([
      block("typo.md", 7, "const { flags } = await kindling.get(userId);\nconsole.log(flags.teir);"),
      block("continued.md", 1, "const seats = 1;"),
      block("continued.md", 20, "console.log(seats);", "continue"),
      block("separate.md", 1, "const seats = 1;"),
      block("separate.md", 20, "console.log(seats);"),
    ]);
    expect(problems).toEqual([
      expect.stringMatching(/^typo\.md:9 .*'teir' does not exist/),
      expect.stringMatching(/^separate\.md:21 .*'seats'/),
    ]);
  }, 60_000);

  it("are hardly ever exempt", () => {
    const isMarked = ({ marker }: Block) => /^(continue|convex|from examples\/\S+)?$/.test(marker);
    expect(blocks.filter((block) => !isMarked(block)).map(placeOf)).toEqual([]);
  });

  it("that name a file are lines of that file", () => {
    const drifted = copies.filter(({ marker, code }) => {
      const source = readFileSync(join(root, marker.slice("from ".length)), "utf8");
      return !`\n${source}`.includes(`\n${code}\n`);
    });
    expect(drifted.map(placeOf)).toEqual([]);
  });
});

describe("other examples", () => {
  it.each(inLanguage("json").map((block) => [placeOf(block), block]))("parses the JSON at %s", (_place, { code }) => {
    expect(() => JSON.parse(code)).not.toThrow();
  });

  it.each(inLanguage("sh", "bash").map((block) => [placeOf(block), block]))(
    "parses the shell commands at %s",
    (_place, { code }) => {
      const { status, stderr } = spawnSync("bash", ["-n"], { input: code, encoding: "utf8" });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    },
  );
});

/** Commands in shell examples and in inline code, without their comments. */
const commandLines = [...pages].flatMap(([file, text]) => {
  const inBlocks = inLanguage("sh", "bash")
    .filter((block) => block.file === file)
    .flatMap(({ code }) => code.split("\n"));
  const inText = [...text.replace(/^ *```[\s\S]*?^ *```/gm, "").matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
  return [...inBlocks, ...inText].map((line) => ({ file, line: line.replace(/ #.*/, "").trim() }));
});

const callsOf = (command: RegExp) =>
  commandLines.flatMap(({ file, line }) => {
    const [, rest] =
      new RegExp(`^(?:[A-Z_]+=\\S+ )*(?:npx |npm run )?${command.source}(?: --)?( .*)?$`).exec(line) ?? [];
    return rest === undefined ? [] : [{ file, words: rest.trim().split(/\s+/) }];
  });

describe("command lines", () => {
  const calls = callsOf(/kindling/);

  const terminal: Terminal = {
    env: {},
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    world: { fetch, now: Date.now },
    stopSignal: () => new AbortController().signal,
    limitHeapGrowth: () => undefined,
  };
  const kindling = createProgram(terminal, () => undefined);

  it("in README's list are all commands but the services, and it says which take no --json", () => {
    const [, section = ""] = /\n## Operate it\n([\s\S]*?)\n## /.exec(pages.get("README.md") ?? "") ?? [];
    const listed = [...section.matchAll(/^npx kindling (\S+)/gm)].map(([, name = ""]) => name);
    const services = ["server", "worker", "start"];
    const names = kindling.commands.map((command) => command.name()).filter((name) => !services.includes(name));
    expect(listed.sort()).toEqual(names.sort());

    const [, exceptions = ""] = /All but ([^;]*) take `--json`/.exec(section) ?? [];
    const takesJson = (command: Command): boolean =>
      command.options.some(({ long }) => long === "--json") || command.commands.some(takesJson);
    const silent = kindling.commands.filter((command) => names.includes(command.name()) && !takesJson(command));
    const excepted = [...exceptions.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name);
    expect(excepted.sort()).toEqual(silent.map((command) => command.name()).sort());
  });

  it("name commands and options of kindling that exist", () => {
    const problems = calls.flatMap(({ file, words }) => {
      let command: Command = kindling;
      const given = words[0] === "demo" ? [] : words;
      for (const word of given) {
        const sub = command.commands.find((one) => one.name() === word);
        if (sub === undefined) break;
        command = sub;
      }
      const known = [command, kindling].flatMap(({ options }) => options.map(({ long }) => long)).concat("--help");
      const unknown = given.filter((word) => word.startsWith("--") && !known.includes(word));
      const named = command !== kindling || given.every((word) => word.startsWith("-"));
      return named && unknown.length === 0 ? [] : [`${file}: kindling ${words.join(" ")}`];
    });
    expect(calls.length).toBeGreaterThan(40);
    expect(problems).toEqual([]);
  });

  it("name options of kinde-emulator that exist", async () => {
    let help = "";
    const stdout = { write: (text: string) => (help += text) };
    await runEmulator(["--help"], { stdout, stderr: stdout, signal: AbortSignal.abort() });
    const options = callsOf(/kinde-emulator/).flatMap(({ words }) => words.filter((word) => word.startsWith("--")));
    expect(options.length).toBeGreaterThan(2);
    expect(options.filter((option) => !help.includes(option))).toEqual([]);
  });
});
