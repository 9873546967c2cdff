import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { findTool } from "./find-tool.ts";
import { freePort } from "./free-port.ts";
import { until } from "./until.ts";

/** Returns the path of a tool from Debian's `prometheus` package. */
export function findPrometheusTool(name: "prometheus" | "promtool"): Promise<string | undefined> {
  return findTool(name, "prometheus");
}

/** A running Prometheus. */
export interface Prometheus {
  /** Evaluates an expression now. Rejects with Prometheus' error if it is invalid. */
  query(expression: string): Promise<{ metric: Record<string, string>; value: [number, string] }[]>;
  /** Reads a path of the API, e.g. `targets`. */
  api(path: string): Promise<unknown>;
  close(): Promise<void>;
}

/** Starts Prometheus on a free port with a folder of its own. */
export async function startPrometheus(binary: string, config: object): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), "kindling-prometheus-"));
  const file = join(folder, "prometheus.yml");
  await writeFile(file, stringify(config));
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    binary,
    [`--config.file=${file}`, `--storage.tsdb.path=${join(folder, "data")}`, `--web.listen-address=${address}`],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const close = async () => {
    await ended(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`Prometheus ended: ${log}`);
      if (!(await fetch(`http://${address}/-/ready`)).ok) throw new Error(`Prometheus is not ready: ${log}`);
    });
  } catch (error) {
    await close();
    throw error;
  }
  const api = async (path: string) => {
    const answer = (await (await fetch(`http://${address}/api/v1/${path}`)).json()) as Answer;
    if (answer.status !== "success") throw new Error(`${path}: ${answer.error}`);
    return answer.data;
  };
  return {
    api,
    query: async (expression) => {
      const { result } = (await api(`query?query=${encodeURIComponent(expression)}`)) as Vector;
      return result;
    },
    close,
  };
}

interface Answer {
  status: string;
  error?: string;
  data: unknown;
}

interface Vector {
  result: Awaited<ReturnType<Prometheus["query"]>>;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exit;
}
