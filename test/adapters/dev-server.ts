import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { installClient } from "../../examples/install-client.ts";
import type { App } from "./contract.ts";

/** A development server of a framework, running a copy of one of this folder's apps. */
export interface DevServer extends App {
  /** Appends text to a file of the app, as an editor would. */
  append(path: string, text: string): Promise<void>;
  /** Resolves once the server has printed text that matches. */
  prints(pattern: RegExp): Promise<RegExpExecArray>;
}

/** Options for {@link startDevServer}. */
export interface DevServerOptions {
  /** Folder of the app, beside this file. */
  app: string;
  /** Module to run, relative to the repository's root, and its arguments. */
  command: readonly [module: string, ...args: string[]];
  env: object;
}

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));

/** Starts a development server in a process group of its own and waits until it prints its address. */
export async function startDevServer({ app, command: [module, ...args], env }: DevServerOptions): Promise<DevServer> {
  await installClient(here);
  // Beside the original, so that relative imports still lead to the files they name.
  const cwd = join(here, `.running-${app}-${randomBytes(4).toString("hex")}`);
  await cp(join(here, app), cwd, { recursive: true });
  const child = spawn(process.execPath, [join(root, module), ...args], {
    cwd,
    env: { ...process.env, NODE_ENV: "development", NEXT_TELEMETRY_DISABLED: "1", ...env },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += stripVTControlCharacters(text);
      for (const listener of listeners) listener();
    });
  }
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const prints = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(output);
        if (match === null) return;
        listeners.delete(look);
        resolve(match);
      };
      listeners.add(look);
      ended.then(() => reject(new Error(`The development server of ${app} ended:\n${output}`)));
      look();
    });
  const close = async () => {
    child.kill("SIGTERM");
    await ended;
    try {
      // Whatever the server left behind, such as its workers.
      process.kill(-Number(child.pid), "SIGKILL");
    } catch {
      // Nothing is left.
    }
    await rm(cwd, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const [, url = ""] = await prints(/Local: +(http:\/\/127\.0\.0\.1:\d+)/);
    return {
      url,
      prints,
      append: async (path, text) => writeFile(join(cwd, path), `${await readFile(join(cwd, path), "utf8")}${text}`),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
