import type { Difference, LiveComparison } from "../audit/compare-live.ts";
import type { FlagView, Inspection, RecordView } from "../status/inspect-user.ts";
import { durationWords, instantWords, plural } from "../words.ts";
import type { Paint } from "./output.ts";
import { align, valueWords } from "./output.ts";

/** Result of `kindling inspect`. Profile values are personal data and present only with `--profile`. */
export type InspectionAnswer = Omit<Inspection, "profile"> & {
  profile?: Inspection["profile"];
  live?: Omit<LiveComparison, "profile"> & { profile: (Difference | Pick<Difference, "name">)[] };
};

/** Renders an inspection as text. */
export function renderInspection(answer: InspectionAnswer, paint: Paint, now: number): string {
  const sections = [
    `${paint.bold(answer.userId)}\n${align(overview(answer, paint, now))}`,
    answer.record === null ? undefined : `${paint.bold("Flags")}\n${align(answer.flags.map(flagRow(paint)))}`,
    answer.live === undefined ? undefined : renderLive(answer.live, answer.record !== null, paint),
    answer.profile == null ? undefined : `${paint.bold("Profile")}\n${indent(valueWords(answer.profile, 2))}`,
  ];
  return sections.filter((section) => section !== undefined).join("\n\n");
}

function overview({ record, ledger, jobs }: InspectionAnswer, paint: Paint, now: number): string[][] {
  const failure = ledger?.failure;
  return [
    ...recordRows(record, paint),
    [
      "ledger",
      ledger === null
        ? paint.good("no outstanding event")
        : paint.notice(`event outstanding for ${durationWords(ledger.ageMs)}`),
    ],
    ...(failure === undefined
      ? []
      : [
          [
            "failure",
            `${paint.bad(failure.code)} after ${plural(failure.attempts, "attempt")}, ${durationWords(now - failure.failedAt)} ago: ${failure.message}`,
          ],
        ]),
    [
      "jobs",
      jobs.length === 0
        ? "none"
        : jobs.map(({ queue, state, attempts }) => jobWords(queue, state, attempts)).join("; "),
    ],
  ];
}

function recordRows(record: RecordView | null, paint: Paint): string[][] {
  if (record === null) return [["record", paint.bad("none: readers get the defaults")]];
  const { status, ageMs, fetchedAt, ticket, schema, schemaMatches } = record;
  return [
    ["record", status === "present" ? paint.good("present") : paint.notice("deleted (tombstone)")],
    ["fetched", `${durationWords(ageMs)} ago ${paint.dim(instantWords(fetchedAt))}`],
    ["ticket", String(ticket)],
    [
      "schema",
      schemaMatches ? `${schema} (current definitions)` : paint.notice(`${schema} (derived from other definitions)`),
    ],
  ];
}

function jobWords(queue: string, state: string, attempts: number): string {
  return `${queue} ${state}${attempts > 0 ? ` after ${plural(attempts, "attempt")}` : ""}`;
}

const longestSource = 72;

const flagRow = (paint: Paint) => (flag: FlagView) => {
  const value = "value" in flag ? valuesOf(flag) : paint.notice("not in the record");
  const source = flag.source ?? "no longer declared";
  const short = source.length > longestSource ? `${source.slice(0, longestSource - 1)}…` : source;
  const misfit = flag.misfit === null ? "" : `  ${paint.notice(`(${flag.misfit}: the default is used)`)}`;
  return [flag.name, value, paint.dim(short) + misfit];
};

const mostOrganizations = 5;

function valuesOf({ value, organizations = {} }: FlagView): string {
  const others = Object.entries(organizations);
  const shown = others.slice(0, mostOrganizations).map(([code, other]) => `, ${valueWords(other)} in ${code}`);
  const rest = others.length - shown.length;
  return `${valueWords(value)}${shown.join("")}${rest > 0 ? `, and other values in ${rest} more` : ""}`;
}

function renderLive(live: NonNullable<InspectionAnswer["live"]>, recorded: boolean, paint: Paint): string {
  const title = paint.bold("Compared with Kinde");
  if (live.same)
    return `${title}\n  ${paint.good(live.exists ? "no difference" : "no difference: Kinde has no such user")}`;
  if (!live.exists) return `${title}\n  ${paint.bad("Kinde has no such user")}`;
  if (!recorded || live.flags.length + live.profile.length === 0) {
    return `${title}\n  ${paint.bad("Kinde has the user, but there is no record for it")}`;
  }
  const rows = [...live.flags.map(differenceRow("flag")), ...live.profile.map(differenceRow("profile"))];
  return `${title}\n${align(rows.map(([kind, name, ...values]) => [kind, paint.bad(name), ...values]))}`;
}

const differenceRow =
  (kind: string) =>
  (difference: Difference | Pick<Difference, "name">): [string, string, string] => [
    kind,
    difference.name,
    "live" in difference
      ? `${valueWords(difference.stored)} stored, ${valueWords(difference.live)} in Kinde`
      : "differs (--profile shows the values)",
  ];

function indent(text: string): string {
  return text.replace(/^/gm, "  ");
}
