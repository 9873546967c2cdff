import type { Command } from "commander";
import { KindlingError } from "kindling";
import { KindeError } from "../../errors.ts";
import { listEveryone, listMembers } from "../../kinde/list-users.ts";
import type { ManagementApi } from "../../kinde/management-api.ts";
import { listFailures, reenqueue } from "../../refresh/failures.ts";
import { createBookmark, type WalkOptions, type WalkResult, walk } from "../../refresh/reprocess.ts";
import { openKinde } from "../../service/open-kinde.ts";
import type { Store } from "../../store.ts";
import { countWords, plural } from "../../words.ts";
import { parseOrganizationCode, parseUserIds, wholeNumber } from "../arguments.ts";
import { documents } from "../documents.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { jsonOption, note, type ReportOptions, report } from "../output.ts";
import { withProgress } from "../progress.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withKinde, withStore } from "../with-store.ts";

interface ReprocessOptions extends ReportOptions {
  org?: string;
  failed?: boolean;
  all?: boolean;
  restart?: boolean;
  backlog: number;
}

/** Result of the command. */
interface Reprocessed extends Pick<WalkResult, "enqueued" | "complete"> {
  /** `refresh`: normal priority. `bulk`: low priority. */
  queue: "refresh" | "bulk";
  /** With `--all`: users that an earlier, interrupted run enqueued. */
  resumedAt?: number;
  /** With `--failed`: fan-outs that were enqueued beside the users. */
  fanouts?: number;
}

const help = `
User ids are refreshed at normal priority. --failed, --org and --all use the
bulk queue, at lower priority than webhooks; --org and --all wait while it holds
--backlog jobs.

--failed also retries failed fan-outs, which find the users that a changed
organization, role or permission concerns. If something failed for a missing
scope or a rejected token, it requests a new access token, because a token keeps
the scopes it was issued with. Kinde bills each token.

--all can be stopped with Ctrl-C. To resume, run the command again, on any
machine.

Examples:
  kindling reprocess kp_0123456789abcdef0123456789abcdef
  kindling reprocess --org org_0123456789a
  kindling reprocess --failed --json
  kindling reprocess --all

${exitCodesHelp("Kinde has no such organization, or rejects a call")}`;

/** Adds `kindling reprocess`. */
export function addReprocess(program: Command, { terminal }: CommandContext): void {
  program
    .command("reprocess")
    .description("refresh users: by id, by organization, the failed ones, or all")
    .argument("[userId...]", "user ids", parseUserIds)
    .option("--org <code>", "all members of an organization", parseOrganizationCode)
    .option("--failed", "all users whose refresh failed, and fan-outs that failed")
    .option("--all", "all users in Kinde")
    .option("--restart", "with --all: start over instead of resuming an interrupted run")
    .option("--backlog <jobs>", "maximum number of jobs in the bulk queue", wholeNumber(1, 10_000_000), 20_000)
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (userIds: readonly string[], options: ReprocessOptions, command: Command) => {
      checkChoice(userIds, options, command);
      const result = await reprocess(terminal, userIds, options);
      report(terminal, options, documents.reprocess, result, render);
      if (result.complete) return;
      note(terminal, options.all === true ? "Stopped: run it again to go on." : "Stopped.");
      terminal.stopSignal().throwIfAborted();
    });
}

function checkChoice(userIds: readonly string[], { org, failed, all, restart }: ReprocessOptions, command: Command) {
  const chosen = [userIds[0], org, failed, all].filter((choice) => choice !== undefined);
  if (chosen.length !== 1) command.error("error: reprocess expects exactly one of: user ids, --org, --failed, --all");
  if (restart === true && all !== true) command.error("error: --restart requires --all");
}

function reprocess(terminal: Terminal, userIds: readonly string[], options: ReprocessOptions): Promise<Reprocessed> {
  if (options.failed === true) return withStore(terminal, reprocessFailed);
  if (userIds.length > 0) {
    return withStore(terminal, async ({ queues }) => {
      await queues.enqueueReprocess(userIds, "refresh");
      return { enqueued: userIds.length, queue: "refresh", complete: true };
    });
  }
  return withKinde(terminal, (store, config) =>
    walkListing(terminal, store, openKinde(config, terminal.world, store), options),
  );
}

async function reprocessFailed(store: Store): Promise<Reprocessed> {
  const failures = await listFailures(store);
  await reenqueue(store, failures);
  const fanouts = failures.filter(({ kind }) => kind === "fanout").length;
  return { enqueued: failures.length - fanouts, fanouts, queue: "bulk", complete: true };
}

async function walkListing(
  terminal: Terminal,
  { redis, keys, queues }: Store,
  api: ManagementApi,
  { org, restart = false, backlog }: ReprocessOptions,
): Promise<Reprocessed> {
  const { world, stopSignal } = terminal;
  const enqueue = (options: Pick<WalkOptions, "listing" | "bookmark" | "restart">) =>
    withProgress(terminal, (onProgress) =>
      walk({ ...options, queues, backlog, onProgress, signal: stopSignal(), now: world.now }),
    );
  if (org === undefined) {
    const bookmark = createBookmark(redis, keys);
    return { ...(await enqueue({ listing: listEveryone(api), bookmark, restart })), queue: "bulk" };
  }
  try {
    const { enqueued, complete } = await enqueue({ listing: listMembers(api, org) });
    return { enqueued, complete, queue: "bulk" };
  } catch (error) {
    if (!(error instanceof KindeError) || error.code !== "kinde_not_found") throw error;
    throw new KindlingError("organization_not_found", `Kinde has no organization ${org}.`, { cause: error });
  }
}

function render({ enqueued, queue, resumedAt = 0, fanouts = 0 }: Reprocessed): string {
  const beside = fanouts > 0 ? ` and ${plural(fanouts, "fan-out")}` : "";
  const earlier = resumedAt > 0 ? ` (${countWords(resumedAt)} of them in an earlier run)` : "";
  return `Enqueued ${plural(enqueued, "user")}${beside}${earlier}${queue === "bulk" ? " at low priority" : ""}.`;
}
