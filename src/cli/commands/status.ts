import type { Command } from "commander";
import { readStatus } from "../../status/read-status.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { createPaint, jsonOption, type ReportOptions, report } from "../output.ts";
import { renderStatus } from "../render-status.ts";
import type { CommandContext } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const help = `
The number of records is estimated from a sample of the keys where there are many.
Warnings and failed users do not change the exit code: ask \`kindling failed\` for that.

Examples:
  kindling status
  kindling status --json | jq -r .warnings[].message
  kindling status --json | jq .ledger.users.oldestAgeMs

${exitCodesHelp("unexpected failure")}`;

/** `kindling status`: queues, ledger, call budget, records, events, last failures. */
export function addStatus(program: Command, { terminal }: CommandContext): void {
  program
    .command("status")
    .description("warnings, queues, ledger, distance from the truth, calls to Kinde, records, events, last failures")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: ReportOptions) => {
      const status = await withStore(terminal, (store, config) => readStatus(store, config, terminal.world.now()));
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, status, (found) => renderStatus(found, paint, terminal.world.now()));
    });
}
