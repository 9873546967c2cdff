import type { Command } from "commander";
import { type FailedMember, listFailures, reenqueue } from "../../refresh/failures.ts";
import type { Store } from "../../store.ts";
import { countWords, durationWords, plural } from "../../words.ts";
import { parseMembers } from "../arguments.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { align, createPaint, jsonOption, type Paint, type ReportOptions, report } from "../output.ts";
import type { CommandContext } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const listHelp = `
A user or fan-out stands here when its refresh gave up. It is tried again by itself after
KINDLING_FAILED_RETRY (1h), and leaves the list when a refresh succeeds.

Examples:
  kindling failed
  kindling failed --json | jq -r '.failures[].member'
  kindling failed retry --all
  kindling failed discard kp_0123456789abcdef0123456789abcdef

${exitCodesHelp("at least one failure is listed")}`;

/** `kindling failed`, `failed retry` and `failed discard`: what gave up, and what to do about it. */
export function addFailed(program: Command, context: CommandContext): void {
  const { terminal, exitWith } = context;
  const failed = program
    .command("failed")
    .description("list users and fan-outs whose refresh gave up")
    .option(...jsonOption)
    .addHelpText("after", listHelp)
    .action(async (options: ReportOptions) => {
      const failures = await withStore(terminal, listFailures);
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, { failures }, () => renderFailures(failures, paint, terminal.world.now()));
      exitWith(failures.length > 0 ? exitCodes.found : exitCodes.done);
    });
  addRemedy(failed, context, {
    name: "retry",
    description: "enqueue failed users and fan-outs again, now",
    done: "Enqueued again",
    apply: reenqueue,
  });
  addRemedy(failed, context, {
    name: "discard",
    description: "strike failed users and fan-outs out; their records stay as they are until the next event",
    done: "Discarded",
    apply: discard,
  });
}

interface Remedy {
  name: "retry" | "discard";
  description: string;
  done: string;
  apply: (store: Store, failures: readonly FailedMember[]) => Promise<void>;
}

function addRemedy(failed: Command, { terminal, exitWith }: CommandContext, remedy: Remedy): void {
  const { name, description, done, apply } = remedy;
  failed
    .command(name)
    .description(description)
    .argument("[id...]", "user ids, or organization:<code>, role:<id>, permission:<id>", parseMembers)
    .option("--all", "everything that failed")
    .option(...jsonOption)
    .addHelpText("after", remedyHelp(name))
    // The list has a --json of its own, and commander gives it to the outer command where both know it.
    .action(async (members: readonly string[], options: ReportOptions & { all?: boolean }, command: Command) => {
      if (members.length > 0 === (options.all === true)) {
        command.error(`error: failed ${name} takes either ids or --all`);
      }
      const { chosen, missing } = await withStore(terminal, async (store) => {
        const failures = await listFailures(store);
        const found = options.all === true ? failures : failures.filter(({ member }) => members.includes(member));
        await apply(store, found);
        return { chosen: found, missing: members.filter((id) => !found.some(({ member }) => member === id)) };
      });
      const json = command.optsWithGlobals<ReportOptions>();
      const result = { [name === "retry" ? "retried" : "discarded"]: chosen.map(({ member }) => member), missing };
      report(terminal, json, result, () => `${done}: ${countWords(chosen.length)}.`);
      for (const id of missing) terminal.stderr.write(`${id} is not among the failures.\n`);
      exitWith(missing.length > 0 ? exitCodes.found : exitCodes.done);
    });
}

const remedyHelp = (name: Remedy["name"]) => `${name === "retry" ? newToken : ""}
Examples:
  kindling failed ${name} kp_0123456789abcdef0123456789abcdef
  kindling failed ${name} organization:org_0123456789a
  kindling failed ${name} --all

${exitCodesHelp("an id is not among the failures; the others were dealt with")}`;

const newToken = `
Where one failed for a missing scope or a refused token, the fleet begins with a new access token,
since scopes are in the token; Kinde bills each that it issues.
`;

async function discard(
  { ledger: users, fanoutLedger: fanouts }: Store,
  failures: readonly FailedMember[],
): Promise<void> {
  for (const { kind, member } of failures) await (kind === "user" ? users : fanouts).discard(member);
}

function renderFailures(failures: readonly FailedMember[], paint: Paint, now: number): string {
  if (failures.length === 0) return paint.good("Nothing failed.");
  const rows = failures.map(({ member, code, attempts, failedAt, message }) => [
    member,
    paint.bad(code),
    plural(attempts, "attempt"),
    `${durationWords(now - failedAt)} ago`,
    paint.dim(message),
  ]);
  return align(rows, "");
}
