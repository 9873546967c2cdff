import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import type { EmulatorOptions } from "kinde-emulator";
import { KindlingError } from "kindling";
import { startKindling, type TestKindling } from "kindling-server/testing";
import { loadDefinitions } from "../src/load-definitions.ts";
import { freePort } from "../test/support/free-port.ts";
import { installClient } from "./install-client.ts";

/** An example with everything it needs: Kindling, an emulated Kinde, and its own development server. */
export interface RunningExample {
  /** Such as `http://localhost:5173`. */
  readonly url: string;
  readonly kindling: TestKindling<Record<string, unknown>>;
  /** What the app has printed, for failure messages. */
  output(): string;
  close(): Promise<void>;
}

/** Options for {@link startExample}. */
export interface ExampleOptions {
  name: string;
  /** Default: the one of that name beside this file. */
  folder?: string;
  redisUrl: string;
  /** Port of the app. Default: any free one. */
  port?: number;
  emulator?: EmulatorOptions;
  /** Further settings of the app. */
  env?: Readonly<Record<string, string>>;
  /** Receives the app's output once it runs. */
  onOutput?: (text: string) => void;
  /** Stops waiting for the app; its reason is thrown. */
  signal?: AbortSignal;
}

const here = fileURLToPath(new URL(".", import.meta.url));
const startTimeoutMs = 60_000;

/** An example could not be started: an unknown name, a port that is taken, or an app that ends. */
export class ExampleError extends KindlingError<"example_failed"> {
  /** What the app has printed. */
  readonly output: string;

  constructor(message: string, output = "") {
    super("example_failed", message);
    this.output = output;
  }
}

/**
 * Starts an example: its folder has a `kindling.flags.ts`, and a `package.json` whose `description` is the app's name and
 * whose script `dev` serves it on the port in `PORT`. Three
 * people can sign in: Ada, an admin, Bob, a member of her team, and Carol, who belongs to no organization.
 *
 * @throws {ExampleError} if the example cannot be started
 */
export async function startExample(options: ExampleOptions): Promise<RunningExample> {
  const {
    name,
    folder = join(here, name),
    redisUrl,
    emulator = {},
    env = {},
    port = await freePort({ host: "localhost" }),
  } = options;
  const definitions = await loadDefinitions(join(folder, "kindling.flags.ts"));
  await installClient(here);
  const url = `http://localhost:${port}`;
  const kindling = await startKindling({
    definitions,
    redisUrl,
    emulator: { application: { name: await readTitle(folder) }, ...emulator },
    // Sweeps find what was edited by hand in Kinde: every 15 minutes by default.
    env: { KINDLING_SWEEP_INTERVAL: "1s", KINDLING_INDEX_LAG: "0ms" },
  });
  try {
    populate(kindling);
    await kindling.synced();
    const app = await startApp(folder, port, { ...kindling.env, ...kindeSettings(url), ...env }, options);
    const close = async () => {
      await app.close();
      await kindling.close();
    };
    return { url, kindling, output: app.output, close };
  } catch (error) {
    await kindling.close();
    throw error;
  }
}

async function readTitle(folder: string): Promise<string> {
  const { description }: { description: string } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  return description;
}

function populate({ emulator: { kinde } }: TestKindling<Record<string, unknown>>): void {
  const { code } = kinde.createOrganization({ code: "org_northwind", name: "Northwind" });
  kinde.createRole("owner", ["admin:access"], { name: "Owner" });
  const settled = (region: string) => ({ onboarded: "true", compliance_region: region });
  const people = [
    { name: ["Ada", "Winter"], properties: settled("eu"), organizations: [{ code, roles: ["owner"] }] },
    { name: ["Bob", "Stone"], properties: settled("us"), organizations: [code] },
    { name: ["Carol", "Lake"], properties: settled("eu"), organizations: [] },
  ] as const;
  for (const {
    name: [firstName, lastName],
    ...user
  } of people) {
    const id = firstName.toLowerCase();
    kinde.createUser({ ...user, id: `kp_${id}`, firstName, lastName, email: `${id}@example.com` });
  }
}

/** Where Kinde's SDKs for SvelteKit, Next.js and Express send people. */
function kindeSettings(site: string): Record<string, string> {
  return {
    KINDE_SITE_URL: site,
    KINDE_REDIRECT_URL: `${site}/api/auth/kinde_callback`,
    KINDE_POST_LOGIN_REDIRECT_URL: `${site}/`,
    KINDE_POST_LOGOUT_REDIRECT_URL: `${site}/`,
  };
}

async function startApp(
  folder: string,
  port: number,
  settings: Readonly<Record<string, string>>,
  { onOutput, signal = new AbortController().signal }: ExampleOptions,
) {
  const url = `http://localhost:${port}/`;
  await assertFree(port);
  const child = spawn("npm", ["run", "dev", "--silent"], {
    cwd: folder,
    // A process group of its own: development servers start further processes.
    detached: true,
    // Vite and others end when their input does, so that none outlives this process.
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...inherited(), ...settings, PORT: String(port) },
  });
  let output = "";
  let isReady = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = (output + stripVTControlCharacters(text)).slice(-20_000);
      if (isReady) onOutput?.(text);
    });
  }
  const ended = new AbortController();
  const exited = once(child, "exit").finally(() => ended.abort());
  const close = async () => {
    for (const name of ["SIGTERM", "SIGKILL"] as const) {
      killGroup(child.pid, name);
      await Promise.race([exited, delay(3_000, undefined, { ref: false })]);
    }
  };
  try {
    const until = performance.now() + startTimeoutMs;
    while (!(await answers(url))) {
      signal.throwIfAborted();
      if (ended.signal.aborted) throw new ExampleError(`The app ended before it answered at ${url}:`, output);
      if (performance.now() > until) {
        throw new ExampleError(`The app does not answer at ${url} within ${startTimeoutMs / 1_000} s:`, output);
      }
      await delay(50);
    }
    isReady = true;
    return { output: () => output, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // Nothing is left of it.
  }
}

const answers = (url: string) =>
  fetch(url, { redirect: "manual" }).then(
    ({ status }) => status < 500,
    () => false,
  );

// Settings of this process and of a test runner are not the app's.
function inherited(): Record<string, string | undefined> {
  const own = /^(?:KINDE|KINDLING)_|^(?:REDIS_URL|NODE_ENV|NODE_OPTIONS|VITEST.*|TEST|DEV|PROD|MODE|SSR|BASE_URL)$/;
  const kept = Object.entries(process.env).filter(([name]) => !own.test(name));
  return { ...Object.fromEntries(kept), NEXT_TELEMETRY_DISABLED: "1" };
}

async function assertFree(port: number): Promise<void> {
  if ((await freePort({ preferred: port, host: "localhost" })) !== port)
    throw new ExampleError(`Port ${port} is taken: choose another one with --port.`);
}
