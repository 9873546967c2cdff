import { afterEach } from "vitest";
import { type Spawned, spawnKindling } from "../cli/command-line.ts";

/** Real `kindling` processes that end with their test, whatever became of it. */
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
    /** A process with an endpoint, once it listens. */
    async server(command: "server" | "start", env: Record<string, string>) {
      const process = start(command, env);
      const port = (await process.says(/"port":(\d+),"msg":"server listens"/))[1];
      return { ...process, webhookUrl: `http://127.0.0.1:${port}/webhooks/kinde` };
    },
    /** A process with workers, once they work. */
    async worker(env: Record<string, string>) {
      const process = start("worker", env);
      await process.says(/"msg":"workers started"/);
      return process;
    },
  };
}

/** Ends a process as the kernel would for want of memory: no handler runs. */
export async function sigkill({ child, ended }: Spawned): Promise<void> {
  child.kill("SIGKILL");
  await ended;
}
