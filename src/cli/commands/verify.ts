import type { Command } from "commander";
import type { Definitions } from "kindling";
import { extraParts } from "kindling/contract";
import { driftRate } from "../../audit/audit.ts";
import { type Verified, verifyUsers } from "../../audit/verify-users.ts";
import type { Config } from "../../config.ts";
import { gainPerMinute } from "../../kinde/call-budget.ts";
import { loadDefinitions } from "../../load-definitions.ts";
import { createFlows } from "../../service/create-flows.ts";
import { countRecords } from "../../status/count-records.ts";
import type { Store } from "../../store.ts";
import { countWords, durationWords, percentWords, plural } from "../../words.ts";
import { wholeNumber } from "../arguments.ts";
import { documents } from "../documents.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { align, createPaint, jsonOption, note, type Paint, type ReportOptions, report } from "../output.ts";
import { withProgress } from "../progress.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withKinde } from "../with-store.ts";

interface VerifyCommandOptions extends ReportOptions {
  sample?: number;
  all?: boolean;
  repair?: boolean;
}

/** Result of the command. */
interface Answer extends Verified {
  scope: "sample" | "all";
  /** Share of the checked users that differ, from 0 to 1. */
  rate: number;
  /** For a sample: upper bound of the share among all users, with 95% confidence. */
  atMost?: number;
  /** Users enqueued for a refresh. */
  repaired: number;
}

const defaultSample = 100;

const help = `
Fetches users from Kinde and compares them with their records; writes nothing.
A mismatch counts only if a second check, two seconds later and with no
outstanding event, finds it again. --all also finds users without a record, and
records of users that Kinde no longer has.

Each user takes two calls to Kinde, or more if flags need roles, permissions or
billing, at low priority within the call budget. --all with 10,000 users takes
about 20 minutes at 1,200 calls a minute.

Examples:
  kindling verify
  kindling verify --sample 1000 --json | jq .causes
  kindling verify --all --repair
  0 6 * * *  kindling verify --sample 500 || notify-someone

${exitCodesHelp("a record differs from Kinde, or Kinde gave no answer for a user")}`;

/** Adds `kindling verify`. */
export function addVerify(program: Command, { terminal, exitWith }: CommandContext): void {
  program
    .command("verify")
    .description("compare a random sample of records, or all, with Kinde")
    .option("--sample <records>", `number of random records (default: ${defaultSample})`, wholeNumber(1, 1_000_000))
    .option("--all", "all users in Kinde and all records")
    .option("--repair", "refresh users that differ, at low priority")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: VerifyCommandOptions, command: Command) => {
      if (options.all === true && options.sample !== undefined) {
        command.error("error: verify expects --sample or --all, not both");
      }
      const answer = await verify(terminal, options);
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, documents.verify, answer, (found) => render(found, paint));
      exitWith(answer.drifted + answer.failed > 0 ? exitCodes.found : exitCodes.done);
      if (answer.complete) return;
      note(terminal, "Stopped: the result covers only the users checked so far.");
      terminal.stopSignal().throwIfAborted();
    });
}

function verify(terminal: Terminal, { all, sample = defaultSample, repair }: VerifyCommandOptions): Promise<Answer> {
  return withKinde(terminal, async (store, config) => {
    const definitions = await loadDefinitions(config.flagsFile);
    const { kinde: api, auditUser } = createFlows({ config, world: terminal.world, store, definitions });
    if (all === true) note(terminal, await estimate(store, config, definitions));
    const signal = terminal.stopSignal();
    let repaired = 0;
    const found = await withProgress(terminal, (onProgress) =>
      verifyUsers({
        store,
        api,
        audit: (userId) => auditUser(userId, { priority: "bulk", signal }),
        scope: all === true ? "all" : { sample },
        onDrift: async (userId) => {
          if (repair !== true) return;
          await store.queues.enqueueReprocess([userId]);
          repaired += 1;
        },
        onProgress,
        signal,
      }),
    );
    const { rate, atMost } = driftRate(found);
    return { scope: all === true ? "all" : "sample", ...found, rate, ...(all !== true && { atMost }), repaired };
  });
}

async function estimate(
  { publicRedis, keys }: Store,
  { profile, calls: budget }: Config,
  { mayNeed }: Definitions,
): Promise<string> {
  const { present } = await countRecords(publicRedis, keys);
  const calls = present * (2 + extraParts.filter((part) => profile.has(part) || mayNeed(part)).length);
  const perMinute = gainPerMinute(budget);
  const took = durationWords((calls / perMinute) * 60_000);
  return `About ${plural(present, "user")} and ${plural(calls, "call")} to Kinde: about ${took} at the ${countWords(perMinute)} calls a minute that the budget gains (Ctrl-C stops).`;
}

function render(answer: Answer, paint: Paint): string {
  const { checked, drifted, unsettled, failed, causes, examples, rate, atMost, repaired } = answer;
  const bound =
    atMost === undefined ? "" : paint.dim(` (at most ${percentWords(atMost)} of all users, with 95% confidence)`);
  const verdict =
    drifted === 0
      ? paint.good("none differ from Kinde")
      : paint.bad(`${countWords(drifted)} (${percentWords(rate)}) differ from Kinde`);
  const lines = [`Checked ${plural(checked, "user")}: ${verdict}${bound}.`];
  if (drifted > 0) {
    lines.push(align(Object.entries(causes).map(([cause, count]) => [cause, countWords(count)])));
    lines.push(
      align(examples.map(({ userId, cause, fields }) => [userId, paint.bad(cause), paint.dim(fields.join(", "))])),
    );
    lines.push(
      repaired > 0
        ? `Enqueued ${plural(repaired, "user")} for a refresh.`
        : "Run the command with --repair to refresh them.",
    );
  }
  if (unsettled > 0) {
    lines.push(paint.notice(`Not compared: ${plural(unsettled, "user")} changed during both checks.`));
  }
  if (failed > 0) lines.push(paint.bad(`Not checked: Kinde gave no answer for ${plural(failed, "user")}.`));
  return lines.join("\n");
}
