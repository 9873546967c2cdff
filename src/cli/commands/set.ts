import { type Command, InvalidArgumentError } from "commander";
import type { FlagsRecord, Misfit } from "kindling/contract";
import { loadDefinitions } from "../../load-definitions.ts";
import type { Written } from "../../redis/ledger.ts";
import { parsePropertyValues } from "../../refresh/property-values.ts";
import { createFlows } from "../../service/create-flows.ts";
import { parseUserId } from "../arguments.ts";
import { documents } from "../documents.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { align, createPaint, jsonOption, note, type Paint, type ReportOptions, report, valueWords } from "../output.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withKinde } from "../with-store.ts";

interface SetOptions extends ReportOptions {
  unset?: Written;
  refreshClaims?: boolean;
}

/** Result of the command. */
interface SetAnswer extends Pick<FlagsRecord, "flags" | "ticket" | "fetchedAt"> {
  userId: string;
  misfits: readonly Misfit[];
}

const help = `
Writes to Kinde, then refreshes the user. When the command returns, every reader
sees the new values. "key=" sets an empty string; --unset removes the value.
A value that does not fit its flag is written, with a warning: the flag then has
its default.

Examples:
  kindling set kp_0123456789abcdef0123456789abcdef onboarded=true plan_tier=pro
  kindling set kp_0123456789abcdef0123456789abcdef --unset compliance_region
  kindling set kp_0123456789abcdef0123456789abcdef plan_tier=free --json

${exitCodesHelp("no such user, Kinde rejects a value, or it is not readable yet")}`;

/** Adds `kindling set`. */
export function addSet(program: Command, { terminal }: CommandContext): void {
  program
    .command("set")
    .description("set a user's properties in Kinde and update the flags")
    .argument("<userId>", "user id", parseUserId)
    .argument("[key=value...]", "property keys and their new values", parseAssignment)
    .option("--unset <key>", "remove a property's value (repeatable)", parseUnset)
    .option("--refresh-claims", "also refresh the claims in the user's next token")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (userId: string, assigned: Written = {}, options: SetOptions, command: Command) => {
      const { unset = {} } = options;
      const twice = Object.keys(assigned).find((key) => Object.hasOwn(unset, key));
      if (twice !== undefined) command.error(`error: ${twice} is both set and unset`);
      const properties = { ...assigned, ...unset };
      if (Object.keys(properties).length === 0) command.error("error: set expects key=value or --unset <key>");
      const answer = await set(terminal, userId, parsePropertyValues(properties), options);
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, documents.set, answer, (found) => render(found, paint));
      for (const { flag, reason } of answer.misfits) {
        note(terminal, `warning: Kinde has the value, but the flag ${flag} has its default: ${reason}.`);
      }
    });
}

function set(terminal: Terminal, userId: string, properties: Written, options: SetOptions): Promise<SetAnswer> {
  return withKinde(terminal, async (store, config) => {
    const definitions = await loadDefinitions(config.flagsFile);
    const { setProperties } = createFlows({ config, world: terminal.world, store, definitions });
    const { flags, ticket, fetchedAt, misfits } = await setProperties(userId, properties, {
      priority: "webhook",
      signal: terminal.stopSignal(),
      refreshClaims: options.refreshClaims === true,
    });
    return { userId, flags, ticket, fetchedAt, misfits };
  });
}

function render({ userId, flags }: SetAnswer, paint: Paint): string {
  const rows = Object.entries(flags).map(([name, value]) => [name, valueWords(value)]);
  return `${paint.bold(userId)}\n${align(rows)}`;
}

function parseAssignment(text: string, previous: Written | undefined): Written {
  const split = text.indexOf("=");
  if (split < 1) throw new InvalidArgumentError("Expected key=value.");
  return once(previous, text.slice(0, split), text.slice(split + 1));
}

function parseUnset(key: string, previous: Written | undefined): Written {
  if (key === "" || key.includes("=")) throw new InvalidArgumentError("Expected a property key without a value.");
  return once(previous, key, null);
}

function once(previous: Written | undefined, key: string, value: string | null): Written {
  if (previous !== undefined && Object.hasOwn(previous, key)) throw new InvalidArgumentError(`${key} is given twice.`);
  // Object.fromEntries, because assigning to a key such as "__proto__" would lose it.
  return Object.fromEntries([...Object.entries(previous ?? {}), [key, value]]);
}
