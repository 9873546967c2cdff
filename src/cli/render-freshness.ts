import type { Freshness, ReadableSummary } from "../status/read-freshness.ts";
import type { WebhookCheck } from "../webhook/check-registration.ts";
import { countWords, durationWords, percentWords, plural } from "../words.ts";
import type { Paint } from "./output.ts";

/** How far the records are from the truth, as rows of text. */
export function freshnessRows(freshness: Freshness, paint: Paint, now: number): string[][] {
  const { readable, audit, silence, webhook } = freshness;
  return [
    ["readable, last day", readableWords(readable.lastDay)],
    ["readable, ever", readableWords(readable.ever)],
    ["last audit", audit === null ? "none yet" : auditWords(audit, paint, now)],
    ["last event", silence === null ? "no worker has listened yet" : silenceWords(silence, paint)],
    ["webhook at Kinde", webhook === null ? "not asked yet" : webhookWords(webhook, paint)],
  ];
}

function readableWords({ events, within1s, within10s, within60s, within5m }: ReadableSummary): string {
  if (events === 0) return "no event";
  const shares = [
    [within1s, "1 s"],
    [within10s, "10 s"],
    [within60s, "60 s"],
    [within5m, "5 min"],
  ] as const;
  const words = shares.map(([share, bound]) => `${percentWords(share ?? 0)} within ${bound}`);
  return `${plural(events, "event")}: ${words.join(", ")}`;
}

function auditWords(audit: NonNullable<Freshness["audit"]>, paint: Paint, now: number): string {
  const { checked, drifted, failed, rate, atMost, causes, finishedAt } = audit;
  const bound = paint.dim(`(of all at most ${percentWords(atMost)})`);
  const found =
    drifted === 0
      ? paint.good(`none of ${countWords(checked)} differed`)
      : paint.bad(`${countWords(drifted)} of ${countWords(checked)} differed, ${percentWords(rate)}`);
  const why = Object.entries(causes).map(([cause, count]) => `${cause} ${count}`);
  const unseen = failed > 0 ? [paint.notice(`no answer about ${countWords(failed)}`)] : [];
  return [`${durationWords(now - finishedAt)} ago: ${found}`, ...why, ...unseen, bound].join(" ");
}

function silenceWords({ forMs, usualMs, unusual, ever }: NonNullable<Freshness["silence"]>, paint: Paint): string {
  const words = ever ? `${durationWords(forMs)} ago` : "none ever";
  return `${unusual ? paint.bad(words) : words} ${paint.dim(`(unusual after ${durationWords(usualMs)})`)}`;
}

function webhookWords({ state, endpoint, reason }: WebhookCheck, paint: Paint): string {
  if (state === "ok") return `${paint.good("registered")} ${paint.dim(endpoint ?? "")}`;
  if (state === "unknown") return `${paint.notice("unknown")}: ${reason}`;
  return paint.bad(state);
}
