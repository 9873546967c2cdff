import type { Command } from "commander";
import { compareLive, fetchLive, type LiveComparison } from "../../audit/compare-live.ts";
import type { Config } from "../../config.ts";
import { patiently } from "../../kinde/patiently.ts";
import { loadDefinitions } from "../../load-definitions.ts";
import { openKinde } from "../../service/open-kinde.ts";
import { type InspectOptions, inspectUser } from "../../status/inspect-user.ts";
import type { Store } from "../../store.ts";
import { parseUserId } from "../arguments.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { createPaint, jsonOption, type ReportOptions, report, sayWaiting } from "../output.ts";
import { type InspectionAnswer, renderInspection } from "../render-inspection.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withStore } from "../with-store.ts";

interface InspectCommandOptions extends ReportOptions {
  live?: boolean;
  profile?: boolean;
}

const help = `
Misfits are values in Kinde that do not fit their flag, so that the default stands in.
Personal data of the profile is shown with --profile only.

Examples:
  kindling inspect kp_0123456789abcdef0123456789abcdef
  kindling inspect kp_0123456789abcdef0123456789abcdef --live
  kindling inspect kp_0123456789abcdef0123456789abcdef --json | jq .flags

${exitCodesHelp("no record, a refresh that gave up, or with --live a difference from Kinde")}`;

/** `kindling inspect`: everything known about one user, and where it comes from. */
export function addInspect(program: Command, { terminal, exitWith }: CommandContext): void {
  program
    .command("inspect")
    .description("everything known about one user: flags, their sources, misfits, ledger, jobs")
    .argument("<userId>", "id of the user", parseUserId)
    .option("--live", "compare with what Kinde says now; nothing is written")
    .option("--profile", "show the stored profile, which holds personal data")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (userId: string, options: InspectCommandOptions) => {
      const answer = await inspect(terminal, userId, options);
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, answer, () => renderInspection(answer, paint, terminal.world.now()));
      const { record, ledger, live } = answer;
      const found = record === null || ledger?.failure !== undefined || live?.same === false;
      exitWith(found ? exitCodes.found : exitCodes.done);
    });
}

function inspect(terminal: Terminal, userId: string, options: InspectCommandOptions): Promise<InspectionAnswer> {
  return withStore(terminal, async (store, config) => {
    const flags = await loadDefinitions(config.flagsFile);
    const shared = { store, flags, keep: config.profile, now: terminal.world.now() };
    const { profile, ...inspection } = await inspectUser(userId, shared);
    const live = options.live === true ? await lookLive(terminal, config, store, userId, shared) : undefined;
    return {
      ...inspection,
      ...(live !== undefined && { live: options.profile === true ? live : withoutValues(live) }),
      ...(options.profile === true && { profile }),
    };
  });
}

function lookLive(
  terminal: Terminal,
  config: Config,
  store: Store,
  userId: string,
  { flags, keep }: InspectOptions,
): Promise<LiveComparison> {
  const api = openKinde(config, terminal.world, store);
  const signal = terminal.stopSignal();
  return patiently(
    async () => {
      const live = await fetchLive(userId, { api, flags, keep, call: { priority: "webhook", signal } });
      // Read after the fetch: while we waited, a refresh may have come between.
      return compareLive(await store.records.read(userId), live, keep);
    },
    { signal, onWait: sayWaiting(terminal) },
  );
}

function withoutValues(live: LiveComparison): NonNullable<InspectionAnswer["live"]> {
  return { ...live, profile: live.profile.map(({ name }) => ({ name })) };
}
