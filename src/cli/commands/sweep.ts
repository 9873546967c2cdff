import type { Command } from "commander";
import { currentSweep, failedSweep } from "../../sweep/queue.ts";
import { waitForSweep } from "../../sweep/wait-for-sweep.ts";
import { countWords, plural } from "../../words.ts";
import { documents } from "../documents.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { jsonOption, note, type ReportOptions, report } from "../output.ts";
import { withProgress } from "../progress.ts";
import type { CommandContext } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const help = `
Workers compare every user in Kinde with its record, page by page, at lower
priority than webhooks, and refresh those that differ. One sweep runs at a time:
with --wait, another one follows the one that is under way.
Sweeps also start automatically, as often as KINDLING_SWEEP_SHARE of the call
budget allows and at least every KINDLING_SWEEP_INTERVAL (15m); \`kindling
status\` shows the last one.

Examples:
  kindling sweep
  kindling sweep --wait --json

${exitCodesHelp("with --wait: the sweep failed", "Redis")}`;

/** Adds `kindling sweep`. */
export function addSweep(program: Command, { terminal }: CommandContext): void {
  program
    .command("sweep")
    .description("compare all users with Kinde now and refresh those that differ")
    .option("--wait", "show progress and wait until a sweep that began after this call finishes")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: ReportOptions & { wait?: boolean }) => {
      const result = await withStore(terminal, async ({ queues, sweeps }) => {
        const [after, failedBefore, before] = await Promise.all([
          sweeps.nextNumber(),
          failedSweep(queues),
          currentSweep(queues),
        ]);
        const underWay = (await queues.enqueueSweep()) === before?.id;
        if (options.wait !== true) return { started: !underWay };
        if (underWay) note(terminal, "A sweep is under way already: another one starts when it ends (Ctrl-C to stop).");
        const finished = await withProgress(terminal, (onProgress) =>
          waitForSweep({
            queues,
            sweeps,
            after,
            earlier: underWay ? before?.id : undefined,
            afterFailed: failedBefore?.id,
            onProgress,
            signal: terminal.stopSignal(),
          }),
        );
        return { started: !underWay, finished };
      });
      report(terminal, options, documents.sweep, result, ({ started, finished }) => {
        if (finished === undefined) return started ? "A sweep is under way." : "A sweep was under way already.";
        const { users, different, missing, unlisted } = finished;
        const found = [`${countWords(different)} different`, `${countWords(missing)} missing`];
        return `${plural(users, "user")} compared: ${found.join(", ")}, ${countWords(unlisted)} deleted or not listed.`;
      });
    });
}
