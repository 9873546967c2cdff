import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Terminal } from "../cli/terminal.ts";
import { plural } from "../words.ts";
import { Mismatch } from "./checks.ts";
import { createNarrator, spent } from "./narrator.ts";
import { type OpenStage, openStage } from "./open-stage.ts";
import { bob, type Stage, type Step } from "./stage.ts";
import { burst } from "./steps/burst.ts";
import { deletion } from "./steps/deletion.ts";
import { handEdit } from "./steps/hand-edit.ts";
import { outage } from "./steps/outage.ts";
import { roleChange } from "./steps/role-change.ts";
import { signUp } from "./steps/sign-up.ts";
import { writeThrough } from "./steps/write-through.ts";

/** The steps of the demo, in order. */
export const tour: readonly Step[] = [signUp, roleChange, burst, outage, writeThrough, handEdit, deletion];

/** Options for {@link runDemo}. */
export interface DemoOptions {
  steps: readonly Step[];
  /** Exit after the tour instead of running until stopped. */
  exit: boolean;
}

const closeWithinMs = 5_000;

/**
 * Runs the tour, then keeps everything running until the terminal's stop signal.
 *
 * @returns whether all checks passed
 * @throws {Interrupted} when stopped during the tour
 */
export async function runDemo(terminal: Terminal, { steps, exit }: DemoOptions): Promise<boolean> {
  const narrator = createNarrator(terminal);
  const signal = terminal.stopSignal();
  narrator.heading("Kindling", `a ten-second tour${exit ? "" : ", then keeps running for you to explore"}`);
  const started = performance.now();
  const stage = await openStage(terminal, narrator);
  try {
    narrator.line("Running in this process: Redis, an emulated Kinde, Kindling's server and worker.");
    if (!(await runSteps(steps, stage))) return false;
    narrator.line(`\n${plural(steps.length, "step")} passed in ${spent(performance.now() - started)}.`);
    if (exit) return true;
    narrator.line(invitation(stage));
    if (!signal.aborted) await once(signal, "abort");
    return true;
  } finally {
    // Closing must not hang if Redis is gone.
    await Promise.race([stage.close(), delay(closeWithinMs, undefined, { ref: false })]);
  }
}

/** Runs steps until one fails, and returns whether all of them passed. */
async function runSteps(steps: readonly Step[], stage: Stage): Promise<boolean> {
  const { narrator, signal } = stage;
  for (const [index, step] of steps.entries()) {
    signal.throwIfAborted();
    narrator.title(index + 1, step.title);
    const started = performance.now();
    try {
      const conclusion = await step.run(stage);
      narrator.passed(conclusion, performance.now() - started);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Mismatch)) throw error;
      narrator.failed(error);
      return false;
    }
  }
  return true;
}

function invitation({ keys, serverUrl, dashboard, commandSettings }: OpenStage): string {
  const shell = (value: string) => (/^[\w:/.@%+,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`);
  const settings = Object.entries(commandSettings).map(([name, value]) => `  export ${name}=${shell(value)}`);
  // Two lines each: commands are not broken on a narrow terminal.
  const commands = [
    ["See how it is doing", "npm run kindling -- status"],
    ["Compare Bob with Kinde", `npm run kindling -- inspect ${bob.id} --live`],
    ["Change Bob's tier", `npm run kindling -- set ${bob.id} plan_tier=free`],
    ["Read Bob's flags", `redis-cli -u "$REDIS_URL" \\\n      GET '${keys.flags(bob.id)}'`],
    ["Unsuspend Bob", `curl "$KINDE_DOMAIN/__emulator/kinde/suspendUser" \\\n      --json '["${bob.id}", false]'`],
    ["Check readiness", `curl ${serverUrl}/readyz`],
    ["Explore the emulator", 'curl "$KINDE_DOMAIN"'],
  ].map(([what, command]) => `  ${what}:\n    ${command}`);
  return [
    "",
    `Dashboard: ${dashboard.url}`,
    `Operator token: ${dashboard.token}`,
    "",
    "Kindling keeps running. In another terminal, connect the command to it:",
    ...("REDIS_URL" in commandSettings ? [] : ["  (with the same REDIS_URL as here)"]),
    ...settings,
    "",
    "Then try:",
    ...commands,
    "",
    "Press Ctrl-C to stop.",
  ].join("\n");
}
