import type { Command } from "commander";
import { plural } from "../../words.ts";
import { documents } from "../documents.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { jsonOption, type ReportOptions, report } from "../output.ts";
import type { CommandContext } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const help = `
An access token keeps the scopes it was issued with. After granting a scope in
Kinde, this makes the fleet request a new token; Kinde bills each token. With
KINDLING_TOKEN_STORE=memory, restart the processes instead.

Examples:
  kindling forget-token

${exitCodesHelp("unexpected error", "Redis")}`;

/** Adds `kindling forget-token`. */
export function addForgetToken(program: Command, { terminal }: CommandContext): void {
  program
    .command("forget-token")
    .description("make the fleet request a new access token from Kinde")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: ReportOptions) => {
      const deleted = await withStore(terminal, (store) => store.forgetTokens());
      report(terminal, options, documents.forgetToken, { deleted }, () =>
        deleted === 0 ? "No access token is stored." : `Deleted ${plural(deleted, "access token")}.`,
      );
    });
}
