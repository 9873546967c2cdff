import type { Command } from "commander";
import { loadDefinitions } from "../../load-definitions.ts";
import { createFlows } from "../../service/create-flows.ts";
import { openKinde } from "../../service/open-kinde.ts";
import { type BackfillResult, backfill, countCalls, createSweepBookmark } from "../../sweep/backfill.ts";
import { countWords, plural } from "../../words.ts";
import { wholeNumber } from "../arguments.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { jsonOption, type ReportOptions, report } from "../output.ts";
import { withProgress } from "../progress.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withStore } from "../with-store.ts";

interface BackfillCommandOptions extends ReportOptions {
  restart?: boolean;
  backlog: number;
}

const help = `
Walks over all users of Kinde, 500 a call, and makes records of those who have none straight from
Kinde's lists. Users of whom flags or KINDLING_PROFILE need more than those tell (roles,
permissions, plans), or whose record differs, go to the bulk queue and are refreshed one by one:
keep workers running.
Safe beside live traffic, and safe to run twice: nothing newer is ever overwritten. Stop it with
Ctrl-C: run it again, anywhere, and it goes on.

Examples:
  kindling backfill
  kindling backfill --json

${exitCodesHelp("Kinde rejects the call, or Redis was wiped meanwhile")}`;

/** `kindling backfill`: the first fill, a page of users a call. */
export function addBackfill(program: Command, { terminal }: CommandContext): void {
  program
    .command("backfill")
    .description("fill the store with all users Kinde has, many a call")
    .option("--restart", "start anew, not where an interrupted run stopped")
    .option("--backlog <jobs>", "jobs that may wait in the bulk queue", wholeNumber(1, 10_000_000), 20_000)
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: BackfillCommandOptions) => {
      const result = await run(terminal, options);
      report(terminal, options, result, render);
      if (result.complete) return;
      terminal.stderr.write("Stopped: run it again to go on.\n");
      terminal.stopSignal().throwIfAborted();
    });
}

function run(terminal: Terminal, { restart = false, backlog }: BackfillCommandOptions): Promise<BackfillResult> {
  const { world, stopSignal } = terminal;
  return withStore(terminal, async (store, config) => {
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
  const earlier = resumedAt > 0 ? `, ${countWords(resumedAt)} of them in an earlier run` : "";
  const one = enqueued > 0 ? `, ${countWords(enqueued)} to be refreshed one by one` : "";
  return `${plural(users, "user")}${earlier}: ${countWords(filled)} filled from lists, in ${plural(calls, "call")}${one}.`;
}
