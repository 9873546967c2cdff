import type { Command } from "commander";
import { currentSweep, failedSweep } from "../../sweep/queue.ts";
import { waitForSweep } from "../../sweep/wait-for-sweep.ts";
import { countWords, plural } from "../../words.ts";
import { documents } from "../documents.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { jsonOption, type ReportOptions, report } from "../output.ts";
import { withProgress } from "../progress.ts";
import type { CommandContext } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const help = `
Workers compare every user in Kinde with its record, page by page, at lower
priority than webhooks, and refresh those that differ. One sweep runs at a time.
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
    .option("--wait", "show progress and wait until the sweep finishes")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: ReportOptions & { wait?: boolean }) => {
      const result = await withStore(terminal, async ({ queues, sweeps }) => {
        const [before, failedBefore] = await Promise.all([sweeps.last(), failedSweep(queues)]);
        const underWay = (await currentSweep(queues)) !== undefined;
        await queues.enqueueSweep();
        if (options.wait !== true) return { started: !underWay };
        const finished = await withProgress(terminal, (onProgress) =>
          waitForSweep({
            queues,
            sweeps,
            after: before?.mark.number ?? 0,
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
