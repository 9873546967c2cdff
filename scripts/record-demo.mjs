// node scripts/record-demo.mjs [file]: runs the demo and draws what it printed as a terminal, docs/public/demo.svg by default.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = process.argv[2] ?? fileURLToPath(new URL("../docs/public/demo.svg", import.meta.url));

const columns = 113;
const lineHeight = 17;
const margin = { top: 46, left: 18, bottom: 16 };
const width = 800;

const { status, stdout } = spawnSync(process.execPath, ["scripts/run.mjs", "src/demo/main.ts", "--exit"], {
  cwd: root,
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
  env: { ...process.env, REDIS_URL: "", NO_COLOR: "1" },
  timeout: 120_000,
});
if (status !== 0) {
  process.stderr.write(stdout ?? "");
  throw new Error(`The demo ended with exit code ${status}: nothing was recorded.`);
}
const lines = ["$ npm run demo -- --exit", "", ...stripVTControlCharacters(stdout).trimEnd().split("\n")].flatMap(fold);
writeFileSync(target, render(lines));
process.stdout.write(`Recorded ${lines.length} lines in ${target}.\n`);

/** Shortens ids and timestamps, and cuts what does not fit: a record is recognizable by its first columns. */
function fold(line) {
  const text = line
    .replace(/\bkp_([a-z0-9]{3})[a-z0-9]{8,}([a-z0-9]{4})\b/g, "kp_$1…$2")
    .replace(/,"fetchedAt":\d+,"ticket":\d+,"schema":"[0-9a-f]+"/, ", …");
  if (text.length <= columns) return [text];
  const indent = /^ */.exec(text)?.[0] ?? "";
  if (text.trimStart().startsWith("{")) return [`${text.slice(0, columns - 1)}…`];
  const cut = text.lastIndexOf(" ", columns);
  return [text.slice(0, cut), ...fold(indent + text.slice(cut + 1))];
}

function styleOf(line) {
  if (/^(\$|\d+ {2}\S)/.test(line)) return "b";
  if (/^ *✓/.test(line)) return "g";
  if (/^ *✗/.test(line)) return "r";
  if (/^ *> /.test(line)) return "d";
  if (/^ *\{/.test(line)) return "c";
  return "";
}

function render(lines) {
  const height = margin.top + lines.length * lineHeight + margin.bottom;
  const rows = lines.flatMap((line, index) => {
    if (line.trim() === "") return [];
    const indent = line.length - line.trimStart().length;
    const x = Math.round((margin.left + indent * 6.62) * 10) / 10;
    const style = styleOf(line);
    const y = margin.top + (index + 1) * lineHeight - 4;
    return [`<text x="${x}" y="${y}"${style && ` class="${style}"`}>${escapeXml(line.trim())}</text>`];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Output of npm run demo">
<style>
text{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#1f2328;white-space:pre}
.w{fill:#f6f8fa;stroke:#d0d7de}.b{font-weight:700}.d{fill:#59636e}.c{fill:#0550ae}.g{fill:#1a7f37}.r{fill:#cf222e}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.w{fill:#0d1117;stroke:#3d444d}.d{fill:#9198a1}.c{fill:#79c0ff}.g{fill:#3fb950}.r{fill:#f85149}}
</style>
<rect class="w" x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="10"/>
<circle cx="22" cy="22" r="6" fill="#ff5f57"/><circle cx="42" cy="22" r="6" fill="#febc2e"/><circle cx="62" cy="22" r="6" fill="#28c840"/>
${rows.join("\n")}
</svg>
`;
}

function escapeXml(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
