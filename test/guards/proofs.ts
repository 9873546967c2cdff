import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { runNode } from "../support/run-node.ts";
import type { Proof, TestProof } from "./guards.ts";

/** Whether a promise was broken, and what happened. A test that times out, or does not run, proves nothing. */
export interface Verdict {
  broken: boolean;
  words: string;
}

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Longest time for a proof. A broken guard can make tests hang. */
const timeoutMs = 10 * 60_000;

/** Runs the proof of a guard in a folder of sources. */
export async function prove(proof: Proof, folder: string): Promise<Verdict> {
  return "test" in proof ? proveByTest(proof, folder) : proveBySchedules(proof.actions, folder);
}

async function proveByTest(proof: TestProof, folder: string): Promise<Verdict> {
  const { tests, output } = await runTests([proof], folder);
  const found = tests.filter(({ fullName }) => fullName.includes(proof.name));
  const failed = found.filter(({ status }) => status === "failed");
  const red = failed.find(({ failureMessages }) => failureMessages.length > 0 && !failureMessages.some(isTimeout));
  if (red !== undefined) return { broken: true, words: `"${red.fullName}" fails` };
  if (failed.length > 0) return { broken: false, words: "the test only times out without it" };
  return {
    broken: false,
    words: found.length > 0 ? "the test passes without it" : `no test ran: ${output.slice(-500)}`,
  };
}

// Vitest reports a test that times out as its place holder for stack traces, and a hook in words.
const isTimeout = (message: string) => /^Error: (STACK_TRACE_ERROR|(Test|Hook) timed out)/.test(message);

async function proveBySchedules(actions: readonly string[], folder: string): Promise<Verdict> {
  const options = ["--seeds", "100", "--failures", "2", "--no-shrink", "--workers", "1", "--only", actions.join(",")];
  const main = join(folder, "test/campaign/main.ts");
  const { output } = await runNode(["--import", "tsx", main, ...options], { cwd: folder, timeoutMs });
  const seeds = [...output.matchAll(/Seed (\d+) broke a promise: (?!seeds replay)(.+)/g)];
  const words = seeds.map(([, seed, promise]) => `seed ${seed} (${promise})`).join(", ");
  if (seeds.length >= 2) return { broken: true, words };
  const ended = /Schedules: 100\b/.test(output)
    ? "of a hundred schedules"
    : `the campaign crashed: ${output.slice(-500)}`;
  return { broken: false, words: `${words || "none"} ${ended}` };
}

const reportSchema = z.object({
  testResults: z.array(
    z.object({
      /** Why the file could not run. */
      message: z.string(),
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.string(),
          failureMessages: z
            .array(z.string())
            .nullish()
            .transform((list) => list ?? []),
        }),
      ),
    }),
  ),
});

/** Runs the tests of proofs. */
export async function runTests(proofs: readonly TestProof[], folder: string, { retries = 0 } = {}) {
  const temporary = mkdtempSync(join(tmpdir(), "kindling-proof-"));
  const report = join(temporary, "report.json");
  const files = [...new Set(proofs.map(({ test }) => test))];
  const names = proofs.map(({ name }) => name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const options = ["run", `--retry=${retries}`, "--reporter=json", `--outputFile=${report}`, "-t", names, ...files];
  const { output } = await runNode([vitest, ...options], { cwd: folder, timeoutMs });
  try {
    const { testResults } = reportSchema.parse(JSON.parse(readFileSync(report, "utf8")));
    const messages = testResults.map(({ message }) => message).filter(Boolean);
    const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
    return { tests, output: [output, ...messages].join("\n") };
  } catch {
    return { tests: [], output };
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
