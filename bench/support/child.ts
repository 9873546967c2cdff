import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { compile } from "../../test/support/compile.ts";

/** A process of its own, so that what it costs can be told from what others cost. */
export interface Child {
  port: number;
  /** Processor time it has used, all threads, in microseconds. */
  cpu(): Promise<number>;
  /** Its resident memory in bytes, after a collection if it runs with `--expose-gc`. */
  memory(): Promise<number>;
  close(): Promise<void>;
}

/** What a child says to us. */
export type FromChild =
  | { type: "ready"; port: number }
  | { type: "cpu"; micros: number }
  | { type: "memory"; bytes: number };

/** Starts a script under `bench/servers`, and waits until it serves. */
export async function startChild(script: string, env: Record<string, string>): Promise<Child> {
  const file = await compile(fileURLToPath(new URL(`../servers/${script}.ts`, import.meta.url)), "kindling-bench");
  const execArgv = process.env.BENCH_NODE_ARGS?.split(" ") ?? [];
  const child = fork(file, { env: { ...process.env, ...env }, execArgv });
  const { port } = await hear(child, "ready");
  return {
    port,
    async cpu() {
      child.send("cpu");
      return (await hear(child, "cpu")).micros;
    },
    async memory() {
      child.send("memory");
      return (await hear(child, "memory")).bytes;
    },
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.disconnect();
      await gone;
    },
  };
}

function hear<T extends FromChild["type"]>(child: ChildProcess, type: T): Promise<Extract<FromChild, { type: T }>> {
  return new Promise((resolve, reject) => {
    const settle = (done: () => void) => {
      child.off("message", onMessage).off("exit", onExit);
      done();
    };
    const onMessage = (message: FromChild) => {
      // The type it was compared with is the one that was asked for.
      if (message.type === type) settle(() => resolve(message as Extract<FromChild, { type: T }>));
    };
    const onExit = (code: number | null) =>
      settle(() => reject(new Error(`A server of the benchmark ended (${code}).`)));
    child.on("message", onMessage).on("exit", onExit);
  });
}
