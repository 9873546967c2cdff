import { type Command, InvalidArgumentError } from "commander";
import type { FlagsRecord } from "kindling/contract";
import { loadDefinitions } from "../../load-definitions.ts";
import type { Written } from "../../redis/ledger.ts";
import { parsePropertyValues } from "../../refresh/property-values.ts";
import { createFlows } from "../../service/create-flows.ts";
import { parseUserId } from "../arguments.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { align, createPaint, jsonOption, type Paint, type ReportOptions, report } from "../output.ts";
import type { CommandContext, Terminal } from "../terminal.ts";
import { withStore } from "../with-store.ts";

interface SetOptions extends ReportOptions {
  unset?: Written;
  refreshClaims?: boolean;
}

/** What the command answers. */
interface SetAnswer extends Pick<FlagsRecord, "flags" | "ticket" | "fetchedAt"> {
  userId: string;
}

const help = `
Writes to Kinde first. Once this command has ended, every reader sees the new values.
"key=" sets an empty text; --unset sends null, to remove the value.

Examples:
  kindling set kp_0123456789abcdef0123456789abcdef onboarded=true plan_tier=pro
  kindling set kp_0123456789abcdef0123456789abcdef --unset compliance_region
  kindling set kp_0123456789abcdef0123456789abcdef plan_tier=free --refresh-claims --json

${exitCodesHelp("Kinde has no such user or refuses a value; or took it, and it is not visible yet")}`;

/** `kindling set`: writes properties through to Kinde, and shows the flags that follow. */
export function addSet(program: Command, { terminal }: CommandContext): void {
  program
    .command("set")
    .description("set properties of a user, in Kinde and for every reader at once")
    .argument("<userId>", "id of the user", parseUserId)
    .argument("[key=value...]", "properties and their new values", parseAssignment)
    .option("--unset <key>", "remove the value of a property; may be given again", parseUnset)
    .option("--refresh-claims", "also drop Kinde's token cache, so that the user's next token has the values")
    .option(...jsonOption)
    .addHelpText("after", help)
    .action(async (userId: string, assigned: Written = {}, options: SetOptions, command: Command) => {
      const { unset = {} } = options;
      const twice = Object.keys(assigned).find((key) => Object.hasOwn(unset, key));
      if (twice !== undefined) command.error(`error: ${twice} is both set and unset`);
      const properties = { ...assigned, ...unset };
      if (Object.keys(properties).length === 0) command.error("error: set takes key=value or --unset <key>");
      const answer = await set(terminal, userId, parsePropertyValues(properties), options);
      const paint = createPaint(terminal, terminal.stdout);
      report(terminal, options, answer, (found) => render(found, paint));
    });
}

function set(terminal: Terminal, userId: string, properties: Written, options: SetOptions): Promise<SetAnswer> {
  return withStore(terminal, async (store, config) => {
    const { setProperties } = createFlows({
      config,
      world: terminal.world,
      store,
      definitions: await loadDefinitions(config.flagsFile),
    });
    const { flags, ticket, fetchedAt } = await setProperties(userId, properties, {
      priority: "webhook",
      signal: terminal.stopSignal(),
      refreshClaims: options.refreshClaims === true,
    });
    return { userId, flags, ticket, fetchedAt };
  });
}

function render({ userId, flags }: SetAnswer, paint: Paint): string {
  const rows = Object.entries(flags).map(([name, value]) => [name, JSON.stringify(value)]);
  return `${paint.bold(userId)}\n${align(rows)}`;
}

function parseAssignment(text: string, previous: Written | undefined): Written {
  const split = text.indexOf("=");
  if (split < 1) throw new InvalidArgumentError("Expected key=value.");
  return once(previous, text.slice(0, split), text.slice(split + 1));
}

function parseUnset(key: string, previous: Written | undefined): Written {
  if (key === "" || key.includes("=")) throw new InvalidArgumentError("Expected the key of a property alone.");
  return once(previous, key, null);
}

function once(previous: Written | undefined, key: string, value: string | null): Written {
  if (previous !== undefined && Object.hasOwn(previous, key)) throw new InvalidArgumentError(`${key} is given twice.`);
  // By entries: assigning to a key such as "__proto__" would lose it.
  return Object.fromEntries([...Object.entries(previous ?? {}), [key, value]]);
}
