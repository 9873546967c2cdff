import { type ChildProcess, spawn } from "node:child_process";
import { PassThrough, Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { inject } from "vitest";
import { runKindling } from "../../src/cli/run-kindling.ts";
import { Interrupted, type Terminal } from "../../src/cli/terminal.ts";
import type { Config } from "../../src/config.ts";
import { createFetch } from "../../src/fetch.ts";
import { until } from "../support/until.ts";

/** Result of a command line. */
export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
  /** Standard output, parsed as one JSON document. */
  json: unknown;
}

/** Returns the environment variables of a configuration. */
export function envOf(config: Config): Record<string, string> {
  return {
    KINDE_DOMAIN: config.domain,
    KINDE_MANAGEMENT_CLIENT_ID: config.clientId,
    KINDE_MANAGEMENT_CLIENT_SECRET: config.clientSecret,
    REDIS_URL: config.redisUrl,
    HOST: config.host,
    PORT: "0",
    KINDLING_PREFIX: config.prefix,
    KINDLING_FLAGS: config.flagsFile,
    KINDLING_SWEEP_INTERVAL: "0s",
    KINDLING_AUDIT_INTERVAL: "0s",
    KINDLING_CALLS_PER_MINUTE: String(config.calls.perMinute),
    KINDLING_CALLS_AT_ONCE: String(config.calls.atOnce),
  };
}

export interface InProcessOptions {
  /** Whether both streams are terminals. */
  isTTY?: boolean;
  /** Aborted by {@link pressCtrlC}. */
  interrupt?: AbortController;
  /** Receives all text written to a stream so far, on each write. */
  onOutput?: (text: string) => void;
  /** Width of both streams. */
  columns?: number;
  /** Default: `Date.now`. */
  now?: () => number;
  /** Called by a command that would limit the growth of this process's heap. */
  limitHeapGrowth?: () => void;
  /** Standard input. Default: empty. */
  input?: string;
}

/** Runs a command line in this process. */
export async function kindling(
  args: readonly string[],
  env: Record<string, string>,
  options: InProcessOptions = {},
): Promise<Ran> {
  const { isTTY = false, interrupt = new AbortController(), onOutput = () => undefined, columns = 120 } = options;
  const [stdout, stderr] = [collect({ isTTY, columns }, onOutput), collect({ isTTY, columns }, onOutput)];
  const terminal: Terminal = {
    env,
    stdout: stdout.stream,
    stderr: stderr.stream,
    stdin: Readable.from(options.input === undefined ? [] : [options.input]),
    world: { fetch: createFetch(), now: options.now ?? Date.now },
    stopSignal: () => interrupt.signal,
    limitHeapGrowth: options.limitHeapGrowth ?? (() => undefined),
  };
  const code = await runKindling(args, terminal);
  return ran(code, stdout.text(), stderr.text());
}

/** Simulates Ctrl-C in a command that runs in this process. */
export function pressCtrlC(interrupt: AbortController): void {
  interrupt.abort(new Interrupted("SIGINT"));
}

function collect(properties: { isTTY: boolean; columns: number }, onOutput: (text: string) => void) {
  let text = "";
  const stream = Object.assign(new PassThrough(), properties);
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    onOutput(text);
  });
  return { stream, text: () => text + (stream.read()?.toString() ?? "") };
}

/** A running `kindling` process. */
export interface Spawned {
  child: ChildProcess;
  /** Output so far. */
  stdout(): string;
  stderr(): string;
  /** Resolves with the first match in the output. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  ended: Promise<Ran>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Starts `kindling` in a process with only the given settings. Default folder: the checkout. */
export function spawnKindling(args: readonly string[], env: Record<string, string>, folder = root): Spawned {
  return start([inject("cli"), ...args], env, folder);
}

/** Starts `npm run demo` in a process with only the given settings. */
export function spawnDemo(args: readonly string[], env: Record<string, string>): Spawned {
  return start(["scripts/run.mjs", "src/demo/main.ts", ...args], env, root);
}

function start(args: readonly string[], env: Record<string, string>, folder: string): Spawned {
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<Ran>((resolve) => child.once("close", (code) => resolve(ran(code, stdout, stderr))));
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    says: (pattern) =>
      until(() => {
        const found = pattern.exec(stdout + stderr);
        if (found === null) throw new Error(`No output matches ${pattern}. Output so far: ${stdout}${stderr}`);
        return found;
      }),
    ended,
  };
}

function ran(code: number | null, stdout: string, stderr: string): Ran {
  return {
    code,
    stdout,
    stderr,
    get json() {
      return JSON.parse(stdout) as unknown;
    },
  };
}
