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

function sum(parts: readonly number[]): number {
  return parts.reduce((total, part) => total + part, 0);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
