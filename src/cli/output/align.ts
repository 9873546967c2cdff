import { stripVTControlCharacters } from "node:util";

/** Rows as lines, their columns padded to one width each; the last one runs free. Colours do not count. */
export function align(rows: readonly (readonly string[])[], indent = "  "): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.slice(0, -1).forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, widthOf(cell));
    });
  }
  const pad = (cell: string, column: number) => cell + " ".repeat(Math.max(0, (widths[column] ?? 0) - widthOf(cell)));
  return rows.map((row) => (indent + row.map(pad).join("  ")).trimEnd()).join("\n");
}

function widthOf(cell: string): number {
  return stripVTControlCharacters(cell).length;
}
