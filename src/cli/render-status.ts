import type { QueueStatus, Status } from "../status/read-status.ts";
import type { SweepState } from "../sweep/sweep.ts";
import { countWords, durationWords, plural } from "../words.ts";
import type { Paint } from "./output.ts";
import { align } from "./output.ts";
import { freshnessRows } from "./render-freshness.ts";

/** A status as text. */
export function renderStatus(status: Status, paint: Paint, now: number): string {
  const sections = [warnings, queues, ledger, freshness, calls, records, sweep, events, failures];
  return sections.flatMap((section) => section(status, paint, now) ?? []).join("\n\n");
}

type Section = (status: Status, paint: Paint, now: number) => string | undefined;

const titled = (paint: Paint, title: string, rows: readonly (readonly string[])[]) =>
  `${paint.bold(title)}\n${align(rows)}`;

const alarming = (paint: Paint, count: number) => (count > 0 ? paint.bad(countWords(count)) : countWords(count));

const warnings: Section = ({ warnings }, paint) =>
  warnings.length === 0 ? undefined : warnings.map(({ message }) => `${paint.bad("!")} ${message}`).join("\n");

const freshness: Section = ({ freshness }, paint, now) =>
  titled(paint, "Distance from the truth", freshnessRows(freshness, paint, now));

const queues: Section = ({ queues }, paint) => {
  const row = ([name, queue]: [string, QueueStatus]) => [
    name,
    countWords(queue.waiting),
    countWords(queue.active),
    countWords(queue.delayed),
    alarming(paint, queue.failed),
    queue.paused ? paint.notice("paused") : "",
  ];
  const head = ["", "waiting", "active", "delayed", "failed", ""].map((title) =>
    title === "" ? "" : paint.dim(title),
  );
  return titled(paint, "Queues", [head, ...Object.entries(queues).map(row)]);
};

const ledger: Section = ({ ledger }, paint) =>
  titled(
    paint,
    "Ledger (acknowledged, not yet reflected)",
    Object.entries(ledger).map(([name, { size, oldestAgeMs, failed }]) => [
      name,
      size === 0 ? paint.good("nothing outstanding") : `${countWords(size)} outstanding`,
      size === 0 ? "" : `oldest ${durationWords(oldestAgeMs)}`,
      failed === 0 ? "" : paint.bad(`${countWords(failed)} failed`),
    ]),
  );

const calls: Section = ({ calls }, paint) =>
  titled(paint, "Calls to Kinde", [
    ["now", calls.pausedMs > 0 ? paint.notice(`paused for ${durationWords(calls.pausedMs)}`) : paint.good("allowed")],
    ["under way", `${calls.inUse} of ${calls.atOnce} at once`],
    ["room for", `${plural(calls.available, "call")} (limit ${countWords(calls.perMinute)} a minute)`],
  ]);

const records: Section = ({ records: { present, deleted, exact } }, paint) => {
  const about = exact ? "" : "about ";
  return titled(paint, "Records", [
    ["users", about + countWords(present)],
    ["tombstones", about + countWords(deleted), exact ? "" : paint.dim("(estimated from a sample)")],
  ]);
};

const sweep: Section = ({ sweep: { completeSince, last, current, next } }, paint, now) => {
  const found = ({ users, different, fields, missing, unlisted }: SweepState) =>
    [plural(users, "user"), `${countWords(different)} different${fieldWords(fields)}`, `${countWords(missing)} missing`]
      .concat(unlisted > 0 ? [`${countWords(unlisted)} gone or unlisted`] : [])
      .join(", ");
  const complete =
    completeSince === null
      ? paint.notice("not filled yet")
      : paint.good(`everybody, since ${durationWords(now - completeSince)}`);
  const rows = [["store holds", complete]];
  if (current !== null) rows.push(["under way", `${found(current)} so far`]);
  if (last === null) rows.push(["last", "none yet"]);
  else {
    const took = durationWords(last.finishedAt - last.startedAt);
    rows.push(["last", `${durationWords(now - last.finishedAt)} ago: ${found(last)}, in ${took}`]);
  }
  if (next !== null) rows.push(["next", next > now ? `in ${durationWords(next - now)}` : "due"]);
  return titled(paint, "Sweep", rows);
};

const fieldsShown = 3;

function fieldWords(fields: SweepState["fields"] = {}): string {
  const counts = Object.entries(fields).sort(([, one], [, other]) => other - one);
  if (counts.length === 0) return "";
  const words = counts.slice(0, fieldsShown).map(([field, count]) => `${field} ${countWords(count)}`);
  return ` (${[...words, ...(counts.length > fieldsShown ? ["…"] : [])].join(", ")})`;
}

const events: Section = ({ events: { duplicate, ...groups } }, paint) => {
  const rows = Object.entries(groups).flatMap(([group, types]) =>
    typeof types === "number" ? [] : Object.entries(types).map(([type, count]) => [group, type, countWords(count)]),
  );
  if (duplicate > 0) rows.push(["duplicate", "", countWords(duplicate)]);
  return titled(paint, "Events", rows.length > 0 ? rows : [["none yet"]]);
};

const failures: Section = ({ lastFailures }, paint, now) => {
  if (lastFailures.length === 0) return undefined;
  const rows = lastFailures.map(({ member, code, failedAt }) => [
    member,
    paint.bad(code),
    `${durationWords(now - failedAt)} ago`,
  ]);
  return `${titled(paint, "Last failures", rows)}\n${paint.dim("  kindling failed has all of them, with reasons")}`;
};
