import { Argument, type Command } from "commander";
import { documentSchemas, documents } from "../documents.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import type { CommandContext } from "../terminal.ts";

const help = `
A document has its version as "v". Members can be added to a version; removing
one, or changing its meaning, raises it.

Examples:
  kindling schema status
  kindling schema > kindling.schemas.json

${exitCodesHelp("unexpected error", "none")}`;

/** Adds `kindling schema`. */
export function addSchema(program: Command, { terminal }: CommandContext): void {
  program
    .command("schema")
    .description("print the JSON Schema of the documents that --json prints")
    .addArgument(new Argument("[document]", "one document (default: all)").choices(Object.keys(documents)))
    .addHelpText("after", help)
    .action((name: string | undefined) => {
      const schemas = documentSchemas();
      terminal.stdout.write(`${JSON.stringify(name === undefined ? schemas : schemas[name], null, 2)}\n`);
    });
}
