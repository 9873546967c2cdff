import type { Command } from "commander";
import { loadDefinitions } from "../../load-definitions.ts";
import { createFlows } from "../../service/create-flows.ts";
import { openKinde } from "../../service/open-kinde.ts";
import { type BackfillResult, backfill, countCalls, createSweepBookmark } from "../../sweep/backfill.ts";
import { countWords, plural } from "../../words.ts";
import { wholeNumber } from "../arguments.ts";
import { documents } from "../documents.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { jsonOption, note, type ReportOptions, report } from "../output.ts";
import { withProgress } from "../progress.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withKinde } from "../with-store.ts";

interface BackfillCommandOptions extends ReportOptions {
  restart?: boolean;
  backlog: number;
}

const help = `
Lists all users in Kinde, 500 per call, and creates the missing records. Roles,
permissions, plans and phone numbers come from listings too. Users are refreshed
one by one, through the bulk queue, if their record differs or the listings are
incomplete, because a scope is missing for example. Keep workers running. The
command waits while the bulk queue holds --backlog jobs.

Safe to run at any time: newer records are never overwritten. After Ctrl-C, run
the command again, on any machine, to resume.

Examples:
  kindling backfill
  kindling backfill --json

${exitCodesHelp("Kinde rejects a call, or Redis lost its data during the run")}`;

/** Adds `kindling backfill`. */
export function addBackfill(program: Command, { terminal }: CommandContext): void {
  program
    .command("backfill")
    .description("create missing records from Kinde's user list")
    .option("--restart", "start over instead of resuming an interrupted run")
    .option("--backlog <jobs>", "maximum number of jobs in the bulk queue", wholeNumber(1, 10_000_000), 20_000)
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: BackfillCommandOptions) => {
      const result = await run(terminal, options);
      report(terminal, options, documents.backfill, result, render);
      if (result.complete) return;
      note(terminal, "Stopped: run it again to go on.");
      terminal.stopSignal().throwIfAborted();
    });
}

function run(terminal: Terminal, { restart = false, backlog }: BackfillCommandOptions): Promise<BackfillResult> {
  const { world, stopSignal } = terminal;
  return withKinde(terminal, async (store, config) => {
    const counted = countCalls(openKinde(config, world, store));
    const { sweepStep } = createFlows({
      config,
      world,
      store,
      definitions: await loadDefinitions(config.flagsFile),
      kinde: counted.api,
    });
    return withProgress(terminal, (onProgress) =>
      backfill({
        ...store,
        sweepStep,
        takeCalls: counted.take,
        bookmark: createSweepBookmark(store.redis, store.keys),
        restart,
        backlog,
        onProgress,
        signal: stopSignal(),
        now: world.now,
      }),
    );
  });
}

function render({ users, filled, enqueued, calls, resumedAt }: BackfillResult): string {
  const earlier = resumedAt > 0 ? ` (${countWords(resumedAt)} of them in an earlier run)` : "";
  const refreshes = enqueued > 0 ? `, ${countWords(enqueued)} enqueued for a refresh` : "";
  return `${plural(users, "user")}${earlier}: ${countWords(filled)} filled from the list${refreshes}, ${plural(calls, "call")} to Kinde.`;
}
