import { writeFile } from "node:fs/promises";

/** One row of a picture: its parts are drawn one after another, each in the color of its series. */
export interface Bar {
  label: string;
  parts: readonly number[];
  /** Words at the end of the bar. */
  note: string;
}

/** What to draw. */
export interface Picture {
  title: string;
  /** Names of the parts. */
  series: readonly string[];
  bars: readonly Bar[];
}

const colors = ["#0f766e", "#14b8a6", "#f59e0b", "#dc2626"];
const [width, labelWidth, noteWidth, barHeight, top] = [760, 220, 150, 22, 64];

/** Writes horizontal bars as `bench/pictures/<name>.svg`. */
export async function drawBars(name: string, { title, series, bars }: Picture): Promise<void> {
  const longest = Math.max(...bars.map(({ parts }) => sum(parts)), Number.MIN_VALUE);
  const scale = (width - labelWidth - noteWidth) / longest;
  const rows = bars.flatMap(({ label, parts, note }, row) => {
    const y = top + row * (barHeight + 10);
    let x = labelWidth;
    const rects = parts.map((part, index) => {
      const rect = `<rect x="${round(x)}" y="${y}" width="${round(part * scale)}" height="${barHeight}" fill="${colors[index]}"/>`;
      x += part * scale;
      return rect;
    });
    const middle = y + barHeight / 2 + 5;
    return [
      `<text x="${labelWidth - 10}" y="${middle}" text-anchor="end">${escapeText(label)}</text>`,
      ...rects,
      `<text x="${round(x + 8)}" y="${middle}">${escapeText(note)}</text>`,
    ];
  });
  const legend = series.map(
    (text, index) =>
      `<rect x="${labelWidth + index * 130}" y="36" width="12" height="12" fill="${colors[index]}"/>` +
      `<text x="${labelWidth + index * 130 + 18}" y="47">${escapeText(text)}</text>`,
  );
  const height = top + bars.length * (barHeight + 10);
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#64748b" role="img">`,
    `<title>${escapeText(title)}</title>`,
    `<text x="10" y="20" font-size="15">${escapeText(title)}</text>`,
    ...legend,
    ...rows,
    "</svg>",
  ];
  await writeFile(new URL(`../pictures/${name}.svg`, import.meta.url), `${lines.join("\n")}\n`);
}

/** A line of a panel. */
export interface Line {
  label: string;
  points: readonly (readonly [x: number, y: number])[];
}

/** Lines over the same time, from zero upwards. */
export interface Panel {
  title: string;
  lines: readonly Line[];
}

/** Panels above one another. */
export interface Lines {
  title: string;
  /** Unit of the horizontal axis. */
  unit: string;
  panels: readonly Panel[];
  /** Moments to mark. */
  marks: readonly number[];
}

const [panelHeight, panelGap, leftEdge, rightEdge] = [130, 52, 60, 740];

/** Writes lines over time as `bench/pictures/<name>.svg`. */
export async function drawLines(name: string, { title, unit, panels, marks }: Lines): Promise<void> {
  const longest = Math.max(1, ...panels.flatMap(({ lines }) => lines.flatMap(({ points }) => points.map(([x]) => x))));
  const across = (x: number) => round(leftEdge + ((rightEdge - leftEdge) * x) / longest);
  const drawn = panels.flatMap(({ title: heading, lines }, index) => {
    const bottom = top + index * (panelHeight + panelGap) + panelHeight;
    const highest = Math.max(1, ...lines.flatMap(({ points }) => points.map(([, y]) => y)));
    const up = (y: number) => round(bottom - (panelHeight * y) / highest);
    const legend = lines.map(({ label }, row) => `<tspan fill="${colors[row]}" dx="14">${escapeText(label)}</tspan>`);
    return [
      `<text x="${leftEdge}" y="${bottom - panelHeight - 8}">${escapeText(heading)}:${legend.join("")}</text>`,
      `<path d="M${leftEdge} ${bottom - panelHeight}V${bottom}H${rightEdge}" fill="none" stroke="#64748b"/>`,
      `<text x="${leftEdge - 6}" y="${bottom - panelHeight + 5}" text-anchor="end">${Math.round(highest)}</text>`,
      `<text x="${leftEdge - 6}" y="${bottom + 4}" text-anchor="end">0</text>`,
      ...lines.map(
        ({ points }, row) =>
          `<polyline points="${points.map(([x, y]) => `${across(x)},${up(y)}`).join(" ")}" fill="none" stroke="${colors[row]}"/>`,
      ),
    ];
  });
  const end = top + panels.length * (panelHeight + panelGap) - panelGap;
  const ticks = marks.map((x) => `M${across(x)} ${end + 4}v6`).join("");
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${end + 34}" font-family="system-ui, sans-serif" font-size="13" fill="#64748b" role="img">`,
    `<title>${escapeText(title)}</title>`,
    `<text x="10" y="20" font-size="15">${escapeText(title)}</text>`,
    ...drawn,
    `<path d="${ticks}" stroke="#64748b"/>`,
    `<text x="${leftEdge}" y="${end + 26}">0</text>`,
    `<text x="${rightEdge}" y="${end + 26}" text-anchor="end">${Math.round(longest)} ${escapeText(unit)}</text>`,
    "</svg>",
  ];
  await writeFile(new URL(`../pictures/${name}.svg`, import.meta.url), `${lines.join("\n")}\n`);
}

function sum(parts: readonly number[]): number {
  return parts.reduce((total, part) => total + part, 0);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
