import type { Difference, LiveComparison } from "../audit/compare-live.ts";
import type { FlagView, Inspection, RecordView } from "../status/inspect-user.ts";
import { durationWords, instantWords, plural } from "../words.ts";
import type { Paint } from "./output.ts";
import { align } from "./output.ts";

/** What the command answers: values of the profile stand in it only where they were asked for. */
export type InspectionAnswer = Omit<Inspection, "profile"> & {
  profile?: Inspection["profile"];
  live?: Omit<LiveComparison, "profile"> & { profile: (Difference | Pick<Difference, "name">)[] };
};

/** An inspection as text. */
export function renderInspection(answer: InspectionAnswer, paint: Paint, now: number): string {
  const sections = [
    `${paint.bold(answer.userId)}\n${align(overview(answer, paint, now))}`,
    answer.record === null ? undefined : `${paint.bold("Flags")}\n${align(answer.flags.map(flagRow(paint)))}`,
    answer.live === undefined ? undefined : renderLive(answer.live, answer.record !== null, paint),
    answer.profile == null ? undefined : `${paint.bold("Profile")}\n${indent(JSON.stringify(answer.profile, null, 2))}`,
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
        ? paint.good("every event is reflected")
        : paint.notice(`an event waits for ${durationWords(ledger.ageMs)}`),
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
    ["record", status === "present" ? paint.good("present") : paint.notice("deleted (a tombstone)")],
    ["fetched", `${durationWords(ageMs)} ago ${paint.dim(instantWords(fetchedAt))}`],
    ["ticket", String(ticket)],
    [
      "schema",
      schemaMatches ? `${schema} (these definitions)` : paint.notice(`${schema}: derived by other definitions`),
    ],
  ];
}

function jobWords(queue: string, state: string, attempts: number): string {
  return `${queue} ${state}${attempts > 0 ? ` after ${plural(attempts, "attempt")}` : ""}`;
}

const longestSource = 72;

const flagRow = (paint: Paint) => (flag: FlagView) => {
  const value = "value" in flag ? JSON.stringify(flag.value) : paint.notice("not in the record");
  const source = flag.source ?? "not declared any more";
  const short = source.length > longestSource ? `${source.slice(0, longestSource - 1)}…` : source;
  const misfit = flag.misfit === null ? "" : `  ${paint.notice(`(${flag.misfit}: the default stands in)`)}`;
  return [flag.name, value, paint.dim(short) + misfit];
};

function renderLive(live: NonNullable<InspectionAnswer["live"]>, recorded: boolean, paint: Paint): string {
  const title = paint.bold("At Kinde now");
  if (live.same) return `${title}\n  ${paint.good(live.exists ? "the same" : "no such user either")}`;
  if (!live.exists) return `${title}\n  ${paint.bad("no such user")}`;
  if (!recorded || live.flags.length + live.profile.length === 0) {
    return `${title}\n  ${paint.bad("the user exists, and has no record that says so")}`;
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
      ? `${JSON.stringify(difference.stored)} here, ${JSON.stringify(difference.live)} at Kinde`
      : "differs (--profile shows how)",
  ];

function indent(text: string): string {
  return text.replace(/^/gm, "  ");
}
