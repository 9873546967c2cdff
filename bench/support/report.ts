import { type Comparison, isMet, type Outcome, type Table } from "./benchmark.ts";
import { round } from "./statistics.ts";

/** A benchmark's outcome as lines for a terminal. */
export function render(title: string, { tables, comparisons, notes }: Outcome): string {
  const parts = [`\n${title}`, ...tables.map(renderTable), comparisons.map(renderComparison).join("\n")];
  if (notes.length > 0) parts.push(notes.map((note) => `  ${note}`).join("\n"));
  return parts.filter((part) => part !== "").join("\n\n");
}

function renderTable({ columns, rows }: Table): string {
  const lines = [columns, ...rows.map((row) => row.map(cell))];
  const widths = columns.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  const pad = (text: string, column: number) =>
    column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  return lines.map((line) => `  ${line.map(pad).join("   ").trimEnd()}`).join("\n");
}

function cell(value: string | number): string {
  return typeof value === "number" ? round(value).toLocaleString("en") : value;
}

function renderComparison(comparison: Comparison): string {
  const { what, value, unit, spread, goal } = comparison;
  const range = spread === undefined ? "" : ` (${cell(spread[0])} to ${cell(spread[1])})`;
  const wanted = "atLeast" in goal ? `at least ${goal.atLeast}` : `at most ${goal.atMost}`;
  return `  ${isMet(comparison) ? "✓" : "✗"} ${what}: ${cell(value)} ${unit}${range}, goal ${wanted}`;
}
