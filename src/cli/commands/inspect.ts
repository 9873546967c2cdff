import type { Command } from "commander";
import { compareLive, fetchLive, type LiveComparison } from "../../audit/compare-live.ts";
import type { Config, StoreConfig } from "../../config.ts";
import { partsToKeep } from "../../kinde/keep-parts.ts";
import { patiently } from "../../kinde/patiently.ts";
import { loadDefinitions } from "../../load-definitions.ts";
import { openKinde } from "../../service/open-kinde.ts";
import { type InspectOptions, inspectUser } from "../../status/inspect-user.ts";
import type { Store } from "../../store.ts";
import { parseUserId } from "../arguments.ts";
import { documents } from "../documents.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { createPaint, jsonOption, type ReportOptions, report, reportWaiting } from "../output.ts";
import { type InspectionAnswer, renderInspection } from "../render-inspection.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withKinde, withStore } from "../with-store.ts";

interface InspectCommandOptions extends ReportOptions {
  live?: boolean;
  profile?: boolean;
}

const help = `
A misfit is a value in Kinde that does not fit its flag, so the flag has its
default. Personal data is shown with --profile only.

Examples:
  kindling inspect kp_0123456789abcdef0123456789abcdef
  kindling inspect kp_0123456789abcdef0123456789abcdef --live
  kindling inspect kp_0123456789abcdef0123456789abcdef --json | jq .flags

${exitCodesHelp("there is no record, the refresh failed, or --live found a difference")}`;

/** Adds `kindling inspect`. */
export function addInspect(program: Command, { terminal, exitWith }: CommandContext): void {
  program
    .command("inspect")
    .description("show a user's record, flags, sources, misfits and jobs")
    .argument("<userId>", "user id", parseUserId)
    .option("--live", "compare the record with Kinde now, without writing")
    .option("--profile", "show the stored profile, which contains personal data")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (userId: string, options: InspectCommandOptions) => {
      const answer = await inspect(terminal, userId, options);
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, documents.inspect, answer, (found) =>
        renderInspection(found, paint, terminal.world.now()),
      );
      const { record, ledger, live } = answer;
      const found = record === null || ledger?.failure !== undefined || live?.same === false;
      exitWith(found ? exitCodes.found : exitCodes.done);
    });
}

function inspect(terminal: Terminal, userId: string, options: InspectCommandOptions): Promise<InspectionAnswer> {
  const look = async (store: Store, config: StoreConfig) => {
    const definitions = await loadDefinitions(config.flagsFile);
    const shared = { store, definitions, keep: partsToKeep(config.profile, definitions), now: terminal.world.now() };
    const { profile, ...inspection } = await inspectUser(userId, shared);
    return { shared, answer: { ...inspection, ...(options.profile === true && { profile }) } };
  };
  if (options.live !== true) return withStore(terminal, async (store, config) => (await look(store, config)).answer);
  return withKinde(terminal, async (store, config) => {
    const { shared, answer } = await look(store, config);
    const live = await compareWithKinde(terminal, config, store, userId, shared);
    return { ...answer, live: options.profile === true ? live : withoutValues(live) };
  });
}

function compareWithKinde(
  terminal: Terminal,
  config: Config,
  store: Store,
  userId: string,
  { definitions, keep }: InspectOptions,
): Promise<LiveComparison> {
  const api = openKinde(config, terminal.world, store);
  const signal = terminal.stopSignal();
  return patiently(
    async () => {
      const live = await fetchLive(userId, { api, definitions, keep, call: { priority: "webhook", signal } });
      // Read after the fetch: a refresh can commit during the wait.
      return compareLive(await store.records.read(userId), live, keep);
    },
    { signal, onWait: reportWaiting(terminal) },
  );
}

function withoutValues(live: LiveComparison): NonNullable<InspectionAnswer["live"]> {
  return { ...live, profile: live.profile.map(({ name }) => ({ name })) };
}
