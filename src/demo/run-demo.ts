import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { align } from "../cli/output.ts";
import type { Terminal } from "../cli/terminal.ts";
import { bob } from "./cast.ts";
import { createNarrator, spent } from "./narrator.ts";
import { type OpenStage, openStage } from "./open-stage.ts";
import type { Step } from "./step.ts";
import { tellStory } from "./story.ts";

const closeWithinMs = 5_000;

/** What a demo shows, and whether it stays. */
export interface DemoOptions {
  steps: readonly Step[];
  /** Ends after the story. */
  exit: boolean;
}

/**
 * Runs the demo: the story, and then, unless it is to exit, whatever its visitors do until they stop it.
 *
 * @returns whether every step showed what it promises
 * @throws {Interrupted} when stopped during the story
 */
export async function runDemo(terminal: Terminal, { steps, exit }: DemoOptions): Promise<boolean> {
  const narrator = createNarrator(terminal);
  const signal = terminal.stopSignal();
  const started = performance.now();
  const stage = await openStage(terminal, narrator);
  try {
    narrator.frame("Kindling, live: Redis, an emulated Kinde, and Kindling's server and worker between them.");
    if (!(await tellStory(steps, stage))) return false;
    narrator.frame(`\nAll as promised, in ${spent(performance.now() - started)}.`);
    if (exit) return true;
    narrator.frame(invitation(stage));
    if (!signal.aborted) await once(signal, "abort");
    return true;
  } finally {
    // A Redis that went away meanwhile must not hold the demo for ever.
    await Promise.race([stage.close(), delay(closeWithinMs, undefined, { ref: false })]);
  }
}

/** What can be played with once the story is told. */
export function invitation({ kinde, keys, serverUrl, redisCli, apiToken }: OpenStage): string {
  return [
    "",
    "Kindling keeps running. Play with it:",
    align([
      ["webhook endpoint", `POST ${serverUrl}/webhooks/kinde`],
      ["ready?", `curl ${serverUrl}/readyz`],
      ["the emulated Kinde", `curl ${kinde.url}/`],
      ["Bob's flags", `${redisCli} GET '${keys.flags(bob.id)}'`],
      [
        "set Bob's tier",
        `curl ${serverUrl}/v1/users/${bob.id}/properties -H 'authorization: Bearer ${apiToken}' -d '{"properties": {"plan_tier": "free"}}'`,
      ],
      ["let Bob in again", `curl -X POST ${kinde.url}/__emulator/kinde/suspendUser -d '["${bob.id}", false]'`],
    ]),
    "",
    "Ctrl-C stops everything.",
  ].join("\n");
}
