import type { Command } from "commander";
import { readStatus } from "../../status/read-status.ts";
import { documents } from "../documents.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { createPaint, jsonOption, type ReportOptions, report } from "../output.ts";
import { renderStatus } from "../render-status.ts";
import type { CommandContext } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const help = `
Reads Redis only and makes no call to Kinde. With many users, the number of
records is an estimate from a sample. Warnings and failures do not change the
exit code; \`kindling failed\` exits with 1 if there are any failures.

Examples:
  kindling status
  kindling status --json | jq -r .warnings[].message
  kindling status --json | jq .ledger.users.oldestAgeMs

${exitCodesHelp("unexpected error", "Redis")}`;

/** Adds `kindling status`. */
export function addStatus(program: Command, { terminal }: CommandContext): void {
  program
    .command("status")
    .description("show warnings, queues, ledger, freshness, drift and failures")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: ReportOptions) => {
      const status = await withStore(terminal, (store, config) => readStatus(store, config, terminal.world.now()));
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, documents.status, status, (found) => renderStatus(found, paint, terminal.world.now()));
    });
}
