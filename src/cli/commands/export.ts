import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { finished } from "node:stream/promises";
import type { Command } from "commander";
import { ConfigurationError, errorCode } from "../../errors.ts";
import { type Exported, exportRecords, importRecords, readLines } from "../../maintenance/export-records.ts";
import { countWords, plural } from "../../words.ts";
import { documents } from "../documents.ts";
import { exitCodesHelp } from "../exit-codes.ts";
import { jsonOption, note, type ReportOptions, report } from "../output.ts";
import type { CommandContext, Output, Terminal } from "../terminal.ts";
import { withStore } from "../with-store.ts";

const exportHelp = `
Writes every record, one JSON document a line. The file contains personal data,
so only its owner can read it; an existing file is not overwritten. With "-",
the records go to standard output.

Examples:
  kindling export records.ndjson
  kindling export - | age --recipient "$KEY" > records.age

${exitCodesHelp("the file could not be written to its end", "Redis")}`;

const importHelp = `
Writes the records of an export for users who have no record here: what this
store has is newer. Then run kindling sweep, which corrects what changed since
the export. With "-", the records are read from standard input.

Examples:
  kindling import records.ndjson
  age --decrypt --identity key.txt records.age | kindling import -

${exitCodesHelp("the file is not an export, was cut off, or is one of another tenant", "Redis")}`;

/** Adds `kindling export` and `kindling import`. */
export function addExport(program: Command, { terminal }: CommandContext): void {
  program
    .command("export")
    .description("write all records to a file, to move a store")
    .argument("<file>", "new file, or - for standard output")
    .option(...jsonOption)
    .addHelpText("after", exportHelp)
    .action(async (file: string, options: ReportOptions, command: Command) => {
      if (file === "-" && options.json === true) command.error("error: with -, standard output is for the records");
      const counts = await writeRecords(terminal, file);
      const words = `Exported ${plural(counts.exported, "record")}.`;
      if (file === "-") note(terminal, words);
      else report(terminal, options, documents.export, counts, () => words);
      if (counts.skipped > 0) note(terminal, `Not readable, and left out: ${plural(counts.skipped, "record")}`);
    });
  program
    .command("import")
    .description("write the records of an export into this store")
    .argument("<file>", "file of an export, or - for standard input")
    .option(...jsonOption)
    .addHelpText("after", importHelp)
    .action(async (file: string, options: ReportOptions) => {
      const input = file === "-" ? terminal.stdin : createReadStream(file);
      if (file !== "-") await opened(input, file, "read");
      const counts = await withStore(terminal, (store) =>
        importRecords(store, readLines(input), terminal.stopSignal()),
      );
      report(
        terminal,
        options,
        documents.import,
        counts,
        ({ imported, kept }) =>
          `Imported ${plural(imported, "record")}; ${countWords(kept)} users had one here already.`,
      );
    });
}

async function writeRecords(terminal: Terminal, file: string): Promise<Exported> {
  const output: Output = file === "-" ? terminal.stdout : createWriteStream(file, { flags: "wx", mode: 0o600 });
  if (file !== "-") {
    await opened(output, file, "written");
    // Each write reports its own failure.
    output.on("error", () => undefined);
  }
  const write = (text: string) =>
    new Promise<void>((resolve, reject) => {
      output.write(text, (error) => (error ? reject(error) : resolve()));
    });
  const counts = await withStore(terminal, (store) => exportRecords(store, write, terminal.stopSignal()));
  if (file !== "-") {
    output.end();
    await finished(output);
  }
  return counts;
}

async function opened(stream: NodeJS.EventEmitter, file: string, what: "read" | "written"): Promise<void> {
  await once(stream, "open").catch((cause: unknown) => {
    const why = errorCode(cause) === "EEXIST" ? "it exists already" : errorCode(cause);
    throw new ConfigurationError([`${file} cannot be ${what}: ${why}.`], { cause });
  });
}
