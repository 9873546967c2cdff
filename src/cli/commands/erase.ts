import type { Command } from "commander";
import { type Erased, eraseUser } from "../../maintenance/erase-user.ts";
import { countWords, plural } from "../../words.ts";
import { parseUserId } from "../arguments.ts";
import { documents } from "../documents.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { align, createPaint, jsonOption, note, type Paint, type ReportOptions, report } from "../output.ts";
import type { CommandContext } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const help = `
Removes all that Redis holds about a user: record, profile, events, failures,
jobs and requests. Then it searches every key again, by name and content, and
reports how many it searched and what it found. Kinde is not changed: delete the
user there first, or the next event or sweep stores the user again.

Examples:
  kindling erase kp_0123456789abcdef0123456789abcdef
  kindling erase kp_0123456789abcdef0123456789abcdef --json > proof.json

${exitCodesHelp("something about the user is left: run it again", "Redis")}`;

/** Adds `kindling erase`. */
export function addErase(program: Command, { terminal, exitWith }: CommandContext): void {
  program
    .command("erase")
    .description("remove all that Redis holds about a user, and prove it")
    .argument("<userId>", "user id", parseUserId)
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (userId: string, options: ReportOptions) => {
      const result = await withStore(terminal, (store) => eraseUser(userId, store));
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, documents.erase, result, (found) => render(found, paint));
      note(terminal, "If Kinde still has the user, the next event or sweep stores the user again.");
      exitWith(result.found.length > 0 ? exitCodes.found : exitCodes.done);
    });
}

function render({ userId, erased, searched, found }: Erased, paint: Paint): string {
  const proof =
    found.length === 0
      ? paint.good(`${plural(searched, "key")} searched: nothing about the user is left`)
      : paint.bad(`${plural(searched, "key")} searched; these still mention the user: ${found.join(", ")}`);
  const rows = Object.entries(erased).map(([what, count]) => [what, countWords(count)]);
  return `${paint.bold(`Erased ${userId}`)}\n${align([...rows, ["proof", proof]])}`;
}
