import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { afterEach } from "vitest";
import { type Spawned, spawnKindling } from "../cli/command-line.ts";

/** Starts `kindling` processes and kills them after each test. */
export function useProcesses() {
  const spawned: Spawned[] = [];
  afterEach(async () => {
    for (const { child } of spawned) child.kill("SIGKILL");
    await Promise.all(spawned.splice(0).map(({ ended }) => ended));
  });
  const start = (command: string, env: Record<string, string>): Spawned => {
    const process = spawnKindling([command], env);
    spawned.push(process);
    return process;
  };
  return {
    /** Starts a process with a webhook endpoint and waits until it listens. */
    async server(command: "server" | "start", env: Record<string, string>) {
      const process = start(command, env);
      const port = (await process.says(/"port":(\d+),"msg":"server listens"/))[1];
      return { ...process, webhookUrl: `http://127.0.0.1:${port}/webhooks/kinde` };
    },
    /** Starts a worker process and waits until its workers run. */
    async worker(env: Record<string, string>) {
      const process = start("worker", env);
      await process.says(/"msg":"workers started"/);
      return process;
    },
  };
}

/** Kills a process without running its signal handlers, like the kernel's out-of-memory killer. */
export async function sigkill({ child, ended }: Spawned): Promise<void> {
  child.kill("SIGKILL");
  await ended;
}

/** Returns the command lines of all processes. Containers of Debian have no `ps`, and other systems no `/proc`. */
export function commandLines(): string[] {
  if (!existsSync("/proc/self/cmdline"))
    return execFileSync("ps", ["-A", "-o", "args"], { encoding: "utf8" }).split("\n");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")];
      } catch {
        // It has just ended.
        return [];
      }
    });
}
