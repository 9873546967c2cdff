import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Emulator } from "kinde-emulator";
import { freePort } from "./free-port.ts";

/** A running SvelteKit app that signs people in with Kinde's SDK. */
export interface SvelteKitApp {
  /** Such as `http://localhost:41234`. The emulator listens on 127.0.0.1, so that they share no cookies. */
  url: string;
  /** Everything the server printed, for failure messages. */
  output(): string;
  close(): Promise<void>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const vite = join(root, "node_modules/vite/bin/vite.js");

/** Settings of Kinde's SDKs for an app that signs in at the emulator. */
function kindeSettings(emulator: Emulator, site: string): Record<string, string> {
  const [application] = emulator.applications.list();
  return {
    KINDE_ISSUER_URL: emulator.url,
    KINDE_CLIENT_ID: application?.clientId ?? "",
    KINDE_CLIENT_SECRET: application?.clientSecret ?? "",
    KINDE_SITE_URL: site,
    KINDE_REDIRECT_URL: `${site}/api/auth/kinde_callback`,
    KINDE_POST_LOGIN_REDIRECT_URL: `${site}/`,
    KINDE_POST_LOGOUT_REDIRECT_URL: `${site}/`,
  };
}

/** Starts a copy of the app in `sveltekit-app` on a free port, with the settings of Kinde's SDK. */
export async function startSvelteKitApp(emulator: Emulator, env: Record<string, string> = {}): Promise<SvelteKitApp> {
  // Below the checkout, so that it finds node_modules.
  const folders = join(root, ".apps");
  await mkdir(folders, { recursive: true });
  const folder = await mkdtemp(join(folders, "sveltekit-"));
  await cp(join(root, "test/support/sveltekit-app"), folder, { recursive: true });
  const port = await freePort({ host: "localhost" });
  const url = `http://localhost:${port}`;
  const child = spawn(process.execPath, [vite, "dev", "--host", "localhost", "--port", String(port)], {
    cwd: folder,
    // A group of its own: development servers start further processes.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...environment(), ...kindeSettings(emulator, url), ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-20_000);
    });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const close = async () => {
    try {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
    await ended;
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    await answering(url, ended, () => output);
  } catch (error) {
    await close();
    throw error;
  }
  return { url, output: () => output, close };
}

/** The environment without what a test runner puts there: frameworks read NODE_ENV and Vitest's variables. */
function environment(): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?:NODE_ENV|VITEST|KINDE|NODE_OPTIONS|TEST$|DEV$|PROD$|MODE$|SSR$|BASE_URL$)/.test(name),
  );
  return Object.fromEntries(kept);
}

async function answering(url: string, ended: Promise<void>, output: () => string): Promise<void> {
  let gone = false;
  void ended.then(() => {
    gone = true;
  });
  const until = performance.now() + 60_000;
  while (
    !(await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (gone || performance.now() > until) throw new Error(`The app at ${url} does not answer.\n${output()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
