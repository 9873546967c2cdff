import type { Command } from "commander";
import { driftRate } from "../../audit/audit.ts";
import { type Verified, verifyUsers } from "../../audit/verify-users.ts";
import { loadDefinitions } from "../../load-definitions.ts";
import { createFlows } from "../../service/create-flows.ts";
import { percentWords, plural } from "../../words.ts";
import { wholeNumber } from "../arguments.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { align, createPaint, jsonOption, type Paint, type ReportOptions, report } from "../output.ts";
import { withProgress } from "../progress.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withStore } from "../with-store.ts";

interface VerifyCommandOptions extends ReportOptions {
  sample?: number;
  all?: boolean;
  repair?: boolean;
}

/** What the command answers. */
interface Answer extends Verified {
  scope: "sample" | "all";
  /** Share of the users looked at that differs, from 0 to 1. */
  rate: number;
  /** Of a sample: the share of all that it does not exceed with 95 % confidence. */
  atMost?: number;
  /** Users enqueued to be refreshed. */
  repaired: number;
}

const defaultSample = 100;

const help = `
Fetches users anew and compares them with their records; nothing is written. A mismatch counts
only when a second look, after a moment and with nothing outstanding, finds it again. Each user
takes two calls to Kinde, and more where flags need roles, permissions or billing, at low priority
within the call budget: --all of 10,000 users at 1200 calls a minute takes about 20 minutes.
--all also finds users without a record, and records of users whom Kinde no longer has.

Examples:
  kindling verify
  kindling verify --sample 1000 --json | jq .causes
  kindling verify --all --repair
  0 6 * * *  kindling verify --sample 500 || notify-someone

${exitCodesHelp("a record differs from Kinde, or Kinde gave no answer about a user")}`;

/** `kindling verify`: proves that records equal Kinde, or says how far they are from it. */
export function addVerify(program: Command, { terminal, exitWith }: CommandContext): void {
  program
    .command("verify")
    .description("compare records with Kinde: a random sample, or all of them")
    .option("--sample <records>", `records drawn at random (default ${defaultSample})`, wholeNumber(1, 1_000_000))
    .option("--all", "all users of Kinde, and all records")
    .option("--repair", "have users who differ refreshed, at low priority")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (options: VerifyCommandOptions, command: Command) => {
      if (options.all === true && options.sample !== undefined) {
        command.error("error: verify takes --sample or --all, not both");
      }
      const answer = await verify(terminal, options);
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, answer, () => render(answer, paint));
      exitWith(answer.drifted + answer.failed > 0 ? exitCodes.found : exitCodes.done);
      if (answer.complete) return;
      terminal.stderr.write("Stopped: the figures are of those looked at so far.\n");
      terminal.stopSignal().throwIfAborted();
    });
}

function verify(terminal: Terminal, { all, sample = defaultSample, repair }: VerifyCommandOptions): Promise<Answer> {
  return withStore(terminal, async (store, config) => {
    const { kinde: api, auditUser } = createFlows({
      config,
      world: terminal.world,
      store,
      definitions: await loadDefinitions(config.flagsFile),
    });
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

function render(answer: Answer, paint: Paint): string {
  const { checked, drifted, unsettled, failed, causes, examples, rate, atMost, repaired } = answer;
  const looked = `Looked at ${plural(checked, "user")}`;
  const bound =
    atMost === undefined ? "" : paint.dim(` (of all at most ${percentWords(atMost)}, with 95 % confidence)`);
  const verdict =
    drifted === 0
      ? `${looked}: ${paint.good("none differs from Kinde")}${bound}.`
      : `${looked}: ${paint.bad(`${plural(drifted, "record")} differ`)} from Kinde, ${percentWords(rate)}${bound}.`;
  const lines = [verdict];
  if (drifted > 0) {
    lines.push(align(Object.entries(causes).map(([cause, count]) => [cause, String(count)])));
    lines.push(
      align(examples.map(({ userId, cause, fields }) => [userId, paint.bad(cause), paint.dim(fields.join(", "))])),
    );
    lines.push(repaired > 0 ? `Enqueued ${plural(repaired, "user")} to be refreshed.` : "--repair has them refreshed.");
  }
  if (unsettled > 0) lines.push(paint.notice(`${plural(unsettled, "user")} changed faster than one can look.`));
  if (failed > 0)
    lines.push(paint.bad(`Kinde gave no answer about ${plural(failed, "user")}: nothing is known of them.`));
  return lines.join("\n");
}
