import { describeLoss } from "../redis/durability.ts";
import { boundWords } from "../status/bound-words.ts";
import type { Freshness, ReadableSummary } from "../status/read-freshness.ts";
import type { QueueStatus, Status } from "../status/read-status.ts";
import { countDisputed, type SweepState } from "../sweep/sweep-state.ts";
import type { WebhookCheck } from "../webhook/check-registration.ts";
import { countWords, durationWords, percentWords, plural } from "../words.ts";
import type { Paint } from "./output.ts";
import { align } from "./output.ts";

/** Renders a status as text. */
export function renderStatus(status: Status, paint: Paint, now: number): string {
  const sections = [warnings, queues, ledger, freshness, calls, redis, records, sweep, events, failures];
  return sections.flatMap((section) => section(status, paint, now) ?? []).join("\n\n");
}

type Section = (status: Status, paint: Paint, now: number) => string | undefined;

const titled = (paint: Paint, title: string, rows: readonly (readonly string[])[]) =>
  `${paint.bold(title)}\n${align(rows)}`;

const warnings: Section = ({ warnings }, paint) =>
  warnings.length === 0 ? undefined : warnings.map(({ message }) => `${paint.bad("!")} ${message}`).join("\n");

const freshness: Section = ({ freshness }, paint, now) =>
  titled(paint, "Freshness and drift", freshnessRows(freshness, paint, now));

const queues: Section = ({ queues }, paint) => {
  const row = ([name, queue]: [string, QueueStatus]) => [
    name,
    countWords(queue.waiting),
    countWords(queue.active),
    countWords(queue.delayed),
    queue.paused ? paint.notice("paused") : "",
  ];
  const head = ["", "waiting", "active", "delayed", ""].map((title) => (title === "" ? "" : paint.dim(title)));
  return titled(paint, "Queues", [head, ...Object.entries(queues).map(row)]);
};

const ledger: Section = ({ ledger }, paint) =>
  titled(
    paint,
    "Ledger (acknowledged events without a refresh yet)",
    Object.entries(ledger).map(([name, { size, oldestAgeMs, failed }]) => [
      name,
      size === 0 ? paint.good("empty") : `${countWords(size)} outstanding`,
      size === 0 ? "" : `oldest ${durationWords(oldestAgeMs)}`,
      failed === 0 ? "" : paint.bad(`${countWords(failed)} failed`),
    ]),
  );

const calls: Section = ({ calls }, paint) =>
  titled(paint, "Calls to Kinde", [
    [
      "status",
      calls.pausedMs > 0 ? paint.notice(`paused for ${durationWords(calls.pausedMs)}`) : paint.good("allowed"),
    ],
    ...(calls.limited > 0 ? [["limited", `${countWords(calls.limited)} by Kinde (users or routes)`]] : []),
    ["in progress", `${calls.inUse} of at most ${calls.atOnce}`],
    ["available", `${plural(calls.available, "call")} (limit: ${countWords(calls.perMinute)} per minute)`],
  ]);

const redis: Section = ({ redis }, paint) => {
  const loss = describeLoss(redis, redis.required);
  return titled(paint, "Redis", [
    ["acknowledged events", loss === undefined ? paint.good("survive a crash") : paint.notice(loss)],
    ["replicas", `${redis.replicas ?? "unknown"} connected, ${redis.required} required`],
  ]);
};

const records: Section = ({ records: { present, deleted, exact }, absences }, paint) => {
  const about = exact ? "" : "about ";
  return titled(paint, "Records", [
    ["users", about + countWords(present)],
    ["tombstones", about + countWords(deleted), exact ? "" : paint.dim("(estimated from a sample)")],
    ...(absences.users > 0 ? [["not found in Kinde", countWords(absences.users), "not confirmed yet"]] : []),
  ]);
};

const sweep: Section = ({ sweep: status }, paint, now) => {
  const { completeSince, last, current, next } = status;
  const found = ({ users, different, fields, disputed, derived, missing, unlisted }: SweepState) =>
    [plural(users, "user"), `${countWords(different)} different${fieldWords(fields)}`, `${countWords(missing)} missing`]
      .concat(
        countDisputed(disputed) > 0 ? [`${countWords(countDisputed(disputed))} disputed${fieldWords(disputed)}`] : [],
      )
      .concat(derived > 0 ? [`${countWords(derived)} derived again`] : [])
      .concat(unlisted > 0 ? [`${countWords(unlisted)} deleted or not listed`] : [])
      .join(", ");
  const complete =
    completeSince === null
      ? paint.notice("not complete yet")
      : paint.good(`everybody, since ${durationWords(now - completeSince)}`);
  const rows = [["store holds", complete]];
  for (const { change, shows, unless } of boundWords(status, now))
    rows.push([change, unless === undefined ? shows : `${shows} ${paint.dim(`(${unless})`)}`]);
  if (current !== null) rows.push(["in progress", `${found(current)} so far`]);
  if (last === null) rows.push(["last", "none yet"]);
  else {
    const took = durationWords(last.finishedAt - last.startedAt);
    rows.push(["last", `${durationWords(now - last.finishedAt)} ago: ${found(last)}, in ${took}`]);
  }
  if (next !== null) rows.push(["next", next > now ? `in ${durationWords(next - now)}` : "now"]);
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
  return `${titled(paint, "Last failures", rows)}\n${paint.dim("  Run `kindling failed` for the full list with reasons.")}`;
};

function freshnessRows(freshness: Freshness, paint: Paint, now: number): string[][] {
  const { readable, audit, silence, webhook } = freshness;
  return [
    ["readable, last day", readableWords(readable.lastDay)],
    ["readable, ever", readableWords(readable.ever)],
    ["last audit", audit === null ? "none yet" : auditWords(audit, paint, now)],
    ["last event", silence === null ? "unknown: no worker has started yet" : silenceWords(silence, paint)],
    ["webhook at Kinde", webhook === null ? "not checked yet" : webhookWords(webhook, paint)],
  ];
}

function readableWords({ events, within1s, within10s, within60s, within5m }: ReadableSummary): string {
  if (events === 0) return "no events";
  const shares = [
    [within1s, "1 s"],
    [within10s, "10 s"],
    [within60s, "60 s"],
    [within5m, "5 m"],
  ] as const;
  const words = shares.map(([share, bound]) => `${percentWords(share ?? 0)} within ${bound}`);
  return `${plural(events, "event")}: ${words.join(", ")}`;
}

function auditWords(audit: NonNullable<Freshness["audit"]>, paint: Paint, now: number): string {
  const { checked, drifted, failed, rate, atMost, causes, finishedAt } = audit;
  if (checked + failed === 0) return `${durationWords(now - finishedAt)} ago: no record to compare`;
  const bound = paint.dim(`(at most ${percentWords(atMost)} of all users, 95% confidence)`);
  const found =
    drifted === 0
      ? paint.good(`none of ${countWords(checked)} differed`)
      : paint.bad(`${countWords(drifted)} of ${countWords(checked)} differed (${percentWords(rate)})`);
  const why = Object.entries(causes).map(([cause, count]) => `${cause} ${countWords(count)}`);
  const unchecked = failed > 0 ? [paint.notice(`no answer for ${plural(failed, "user")}`)] : [];
  return `${durationWords(now - finishedAt)} ago: ${[found, ...why, ...unchecked].join(", ")} ${bound}`;
}

/** Events are counted, and the counts sampled every half a minute. */
const silenceStepMs = 60_000;

function silenceWords({ forMs, usualMs, unusual, ever }: NonNullable<Freshness["silence"]>, paint: Paint): string {
  const since = forMs < silenceStepMs ? "less than a minute ago" : `${durationWords(forMs)} ago`;
  const words = ever ? since : "never";
  return `${unusual ? paint.bad(words) : words} ${paint.dim(`(unusual after ${durationWords(usualMs)})`)}`;
}

function webhookWords({ state, endpoint, reason }: WebhookCheck, paint: Paint): string {
  if (state === "ok") return `${paint.good("registered")} ${paint.dim(endpoint ?? "")}`;
  if (state === "unknown") return `${paint.notice("unknown")}: ${reason}`;
  return paint.bad(state);
}
