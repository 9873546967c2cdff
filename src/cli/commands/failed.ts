import type { Command } from "commander";
import { discardFailed, type Failed, listFailed, retryFailed } from "../../maintenance/failed.ts";
import type { Store } from "../../store.ts";
import { countWords, durationWords, plural } from "../../words.ts";
import { parseMembers } from "../arguments.ts";
import { type Document, documents } from "../documents.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { align, createPaint, jsonOption, note, type Paint, type ReportOptions, report } from "../output.ts";
import type { CommandContext } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const listHelp = `
Lists users and fan-outs whose refresh failed after all its attempts. Each is
retried automatically after KINDLING_RETRY_MAX (15m), or after
KINDLING_FAILED_RETRY (1h) if a retry cannot help before somebody acts, as for a
missing scope. It leaves the list when a refresh succeeds. Also lists deliveries
of changed flags (KINDLING_PUSH_URLS) that failed after all their attempts:
these wait for failed retry.

Examples:
  kindling failed
  kindling failed --json | jq -r '.failures[].member'
  kindling failed retry --all
  kindling failed discard kp_0123456789abcdef0123456789abcdef

${exitCodesHelp("at least one failure is listed", "Redis")}`;

/** Adds `kindling failed`, `failed retry` and `failed discard`. */
export function addFailed(program: Command, context: CommandContext): void {
  const { terminal, exitWith } = context;
  const failed = program
    .command("failed")
    .description("list users and fan-outs whose refresh failed, and failed deliveries")
    .option(...jsonOption)
    .addHelpText("after", listHelp)
    .action(async (options: ReportOptions) => {
      const failures = await withStore(terminal, listFailed);
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, documents.failed, { failures }, (found) =>
        renderFailures(found.failures, paint, terminal.world.now()),
      );
      exitWith(failures.length > 0 ? exitCodes.found : exitCodes.done);
    });
  addRemedy(failed, context, {
    name: "retry",
    description: "retry failed users, fan-outs and deliveries now",
    done: "Enqueued",
    document: documents.failedRetry,
    apply: retryFailed,
  });
  addRemedy(failed, context, {
    name: "discard",
    description: "remove entries from the list without a refresh",
    done: "Discarded",
    document: documents.failedDiscard,
    apply: discardFailed,
  });
}

interface Remedy {
  name: "retry" | "discard";
  description: string;
  done: string;
  document: Document;
  apply: (store: Store, failures: readonly Failed[]) => Promise<void>;
}

function addRemedy(failed: Command, { terminal, exitWith }: CommandContext, remedy: Remedy): void {
  const { name, description, done, document, apply } = remedy;
  failed
    .command(name)
    .description(description)
    .argument(
      "[id...]",
      "user ids, or organization:<code>, plans:<code>, role:<id>, permission:<id>, push:<id>",
      parseMembers,
    )
    .option("--all", "everything on the list")
    .option(...jsonOption)
    .addHelpText("after", remedyHelp(name))
    // `failed` has a --json too, and commander assigns the option to the outer command.
    .action(async (members: readonly string[], options: ReportOptions & { all?: boolean }, command: Command) => {
      if (members.length > 0 === (options.all === true)) {
        command.error(`error: failed ${name} expects either ids or --all`);
      }
      const { chosen, missing } = await withStore(terminal, async (store) => {
        const failures = await listFailed(store);
        const found = options.all === true ? failures : failures.filter(({ member }) => members.includes(member));
        await apply(store, found);
        return { chosen: found, missing: members.filter((id) => !found.some(({ member }) => member === id)) };
      });
      const json = command.optsWithGlobals<ReportOptions>();
      const result = { [name === "retry" ? "retried" : "discarded"]: chosen.map(({ member }) => member), missing };
      report(terminal, json, document, result, () => `${done}: ${countWords(chosen.length)}`);
      for (const id of missing) note(terminal, `Not on the failed list: ${id}`);
      exitWith(missing.length > 0 ? exitCodes.found : exitCodes.done);
    });
}

const remedyHelp = (name: Remedy["name"]) => `${name === "retry" ? retryNote : discardNote}
Examples:
  kindling failed ${name} kp_0123456789abcdef0123456789abcdef
  kindling failed ${name} organization:org_0123456789a
  kindling failed ${name} --all

${exitCodesHelp("an id is not on the failed list; all others were processed", "Redis")}`;

const retryNote = `
If a refresh failed for a missing scope or a rejected token, this requests a new
access token, because a token keeps the scopes it was issued with. Kinde bills
each token.
`;

const discardNote = `
Records stay as they are. The next event or sweep that finds a difference
refreshes the user.
`;

function renderFailures(failures: readonly Failed[], paint: Paint, now: number): string {
  if (failures.length === 0) return paint.good("No failures.");
  const rows = failures.map(({ member, code, attempts, failedAt, message }) => [
    member,
    paint.bad(code),
    plural(attempts, "attempt"),
    `${durationWords(now - failedAt)} ago`,
    paint.dim(message),
  ]);
  return align(rows, "");
}
