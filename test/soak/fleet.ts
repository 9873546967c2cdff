import { type ChildProcess, execFile, fork } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";

/** A process of `kindling` that can be killed, paused and started again. Its output goes to a file. */
export interface KindlingProcess {
  readonly name: string;
  readonly pid: number | undefined;
  start(): void;
  /** Ends the process without running its signal handlers. */
  kill(): Promise<void>;
  pause(): void;
  resume(): void;
}

/** Options for {@link createProcess}. */
export interface ProcessOptions {
  name: string;
  command: "server" | "worker";
  env: Record<string, string>;
  /** Folder of the output. */
  folder: string;
  /** Called when the process ends although nobody killed it. */
  onExit: (code: number | null) => void;
}

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const preloaded = ["tsx", new URL("end-with-parent.ts", import.meta.url).href];

/** Creates a process, without starting it. */
export function createProcess({ name, command, env, folder, onExit }: ProcessOptions): KindlingProcess {
  let child: ChildProcess | undefined;
  return {
    name,
    get pid() {
      return child?.pid;
    },
    start() {
      const output = openSync(join(folder, `${name.replaceAll(" ", "-")}.log`), "a");
      const started = fork(main, [command], {
        env: { PATH: process.env.PATH, ...env },
        execArgv: preloaded.flatMap((module) => ["--import", module]),
        stdio: ["ignore", output, output, "ipc"],
        // Not in the terminal's process group: Ctrl-C ends the soak, which ends them.
        detached: true,
      });
      child = started;
      started.once("exit", (code) => {
        if (child === started) onExit(code);
      });
    },
    async kill() {
      const killed = child;
      child = undefined;
      if (killed === undefined || killed.exitCode !== null || killed.signalCode !== null) return;
      const exited = once(killed, "exit");
      killed.kill("SIGKILL");
      await exited;
    },
    pause: () => void child?.kill("SIGSTOP"),
    resume: () => void child?.kill("SIGCONT"),
  };
}

/** A Redis that writes every command to disk before it answers, and holds at most {@link maxRedisBytes}. */
export interface SoakRedis extends EmbeddedRedis {
  pause(pid: number): void;
  resume(pid: number): void;
}

export const maxRedisBytes = 256 * 1024 ** 2;

/** Starts the Redis of a soak. */
export async function startSoakRedis(): Promise<SoakRedis> {
  const redis = await startEmbeddedRedis({ durable: true, args: ["--maxmemory", String(maxRedisBytes)] });
  return {
    ...redis,
    pause: (pid) => void process.kill(pid, "SIGSTOP"),
    resume: (pid) => void process.kill(pid, "SIGCONT"),
  };
}

/** Returns the resident memory of processes in bytes, by process id. */
export async function residentBytes(pids: readonly number[]): Promise<Map<number, number>> {
  if (pids.length === 0) return new Map();
  // Fails if one of them has just ended: the others are printed all the same.
  const { stdout } = await promisify(execFile)("ps", ["-o", "pid=,rss=", "-p", pids.join(",")]).catch(
    ({ stdout = "" }: { stdout?: string }) => ({ stdout }),
  );
  const lines = stdout.trim().split("\n").filter(Boolean);
  return new Map(
    lines.map((line) => {
      const [pid = 0, kilobytes = 0] = line.trim().split(/\s+/).map(Number);
      return [pid, kilobytes * 1024];
    }),
  );
}
