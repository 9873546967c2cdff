import type { Child } from "hono/jsx";
import { describeLoss } from "../redis/durability.ts";
import { boundWords, wholeSeconds } from "../status/bound-words.ts";
import type { ReadableSummary } from "../status/read-freshness.ts";
import type { FinishedSweep } from "../sweep/sweep-log.ts";
import type { SweepState } from "../sweep/sweep-state.ts";
import { countWords, durationWords, percentWords, plural } from "../words.ts";
import { Ago, Bar, Facts, Mark, Panel, Table, Text, UserLink } from "./parts.tsx";
import type { Now } from "./read-now.ts";

/** The page's figures, without its frame and charts: what the stream replaces. */
export const NowFigures = ({ now }: { now: Now }) => (
  <>
    <Warnings now={now} />
    <Headlines now={now} />
    <div class="columns">
      <Readable now={now} />
      <Calls now={now} />
      <Sweeps now={now} />
      <Drift now={now} />
      <Arrivals now={now} />
      <Queues now={now} />
      <Storage now={now} />
      <LastFailures now={now} />
    </div>
  </>
);

/** What is shown while Redis does not answer. */
export const NoFigures = () => (
  <div class="notice bad" role="alert">
    <p>
      <Mark tone="bad">
        <strong>Redis does not answer</strong>
      </Mark>
    </p>
    <p>
      Events are answered with 503, and Kinde delivers them again. Readers have their defaults. This page goes on as
      soon as Redis answers.
    </p>
  </div>
);

const Warnings = ({ now: { warnings } }: { now: Now }) => (
  <section class="warnings" aria-label="Warnings" role="status">
    {warnings.length === 0 ? (
      <p>
        <Mark tone="good">No warnings</Mark>
      </p>
    ) : (
      <ul>
        {warnings.map(({ code, message }) => (
          <li class="notice notice-line">
            <Mark tone="notice">
              <Text>{message}</Text>
            </Mark>
            <code class="muted">{code}</code>
          </li>
        ))}
      </ul>
    )}
  </section>
);

const Headline = ({ label, value, note }: { label: string; value: Child; note: Child }) => (
  <div class="headline">
    <dt>{label}</dt>
    <dd>
      <strong>{value}</strong>
      <span class="muted">{note}</span>
    </dd>
  </div>
);

const Headlines = ({ now: { ledger, freshness, calls, records, sweep, at } }: { now: Now }) => {
  const outstanding = ledger.users.size + ledger.fanouts.size;
  const oldestMs = Math.max(ledger.users.oldestAgeMs, ledger.fanouts.oldestAgeMs);
  const failed = ledger.users.failed + ledger.fanouts.failed;
  const { within1s, events } = freshness.readable.lastDay;
  return (
    <dl class="headlines">
      <Headline
        label="Behind"
        value={outstanding === 0 ? "Nothing" : countWords(outstanding)}
        note={outstanding === 0 ? "every event is reflected" : `oldest event ${durationWords(oldestMs)} ago`}
      />
      <Headline
        label="Readable within 1 s"
        value={within1s === null ? "–" : percentWords(within1s)}
        note={events === 0 ? "no events in the last day" : `of ${plural(events, "event")} in the last day`}
      />
      <Headline
        label="Unannounced changes"
        value={sweep.bound === null ? "–" : `≤ ${durationWords(wholeSeconds(sweep.bound.withinMs))}`}
        note={sweep.bound === null ? "no sweep has measured it" : "until readers see them"}
      />
      <Headline
        label="Calls to Kinde"
        value={calls.pausedMs > 0 ? "Paused" : "Allowed"}
        note={
          calls.pausedMs > 0
            ? `for another ${durationWords(calls.pausedMs)}`
            : `${countWords(calls.inUse)} in progress, room for ${countWords(calls.available)}`
        }
      />
      <Headline
        label="Failed"
        value={failed === 0 ? "None" : countWords(failed)}
        note={failed === 0 ? "no refresh has given up" : <a href="/failed">see why, and retry</a>}
      />
      <Headline
        label="Records"
        value={`${records.exact ? "" : "≈ "}${countWords(records.present)}`}
        note={
          sweep.completeSince === null
            ? "the store is not complete yet"
            : `complete for ${durationWords(at - sweep.completeSince)}`
        }
      />
    </dl>
  );
};

const Readable = ({ now: { freshness } }: { now: Now }) => (
  <Panel title="Time to readable" note="from an event's acknowledgement to the commit that reflects it">
    <ReadableRows label="last day" times={freshness.readable.lastDay} />
    <ReadableRows label="ever" times={freshness.readable.ever} />
  </Panel>
);

const ReadableRows = ({ label, times }: { label: string; times: ReadableSummary }) => {
  const bounds = [
    ["1 s", times.within1s],
    ["10 s", times.within10s],
    ["60 s", times.within60s],
    ["5 m", times.within5m],
  ] as const;
  return (
    <>
      <h3>
        {label}: {plural(times.events, "event")}
        {times.meanMs !== null && `, ${durationWords(times.meanMs)} on average`}
      </h3>
      {times.events > 0 && (
        <ul class="bars">
          {bounds.map(([bound, share]) => (
            <li>
              <span>within {bound}</span>
              <Bar share={share ?? 0} tone={toneOf(share ?? 0)} />
              <span class="number">{percentWords(share ?? 0)}</span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
};

function toneOf(share: number) {
  return share >= 0.99 ? "good" : share >= 0.9 ? "notice" : "bad";
}

const Calls = ({ now: { calls } }: { now: Now }) => (
  <Panel title="Calls to Kinde">
    <Facts
      rows={[
        [
          "Status",
          calls.pausedMs > 0 ? (
            <Mark tone="notice">paused for {durationWords(calls.pausedMs)}</Mark>
          ) : (
            <Mark tone="good">allowed</Mark>
          ),
        ],
        ["In progress", `${countWords(calls.inUse)} of ${countWords(calls.atOnce)}`],
        ["Room for", plural(calls.available, "call")],
        ["Limit", `${countWords(calls.perMinute)} per minute`],
        ["Limited by Kinde", calls.limited === 0 ? "none" : `${countWords(calls.limited)} users or routes`],
      ]}
    />
  </Panel>
);

/** What a sweep has found. */
export function sweepWords({ users, different, missing, unlisted, derived }: SweepState): string {
  return [plural(users, "user"), `${countWords(different)} different`, `${countWords(missing)} missing`]
    .concat(derived > 0 ? [`${countWords(derived)} derived again`] : [])
    .concat(unlisted > 0 ? [`${countWords(unlisted)} not listed`] : [])
    .join(", ");
}

/** The facts about sweeps, which the page of sweeps shows too. */
export function sweepRows({ sweep, at }: Now): readonly (readonly [label: string, value: Child] | undefined)[] {
  const { completeSince, last, current, failed, next } = sweep;
  const took = ({ startedAt, finishedAt }: FinishedSweep) => durationWords(finishedAt - startedAt);
  return [
    [
      "Store holds",
      completeSince === null ? <Mark tone="notice">not everybody yet</Mark> : <Mark tone="good">everybody</Mark>,
    ],
    ["In progress", current === null ? "no" : `${sweepWords(current)} so far`],
    [
      "Last",
      last === null ? (
        "none yet"
      ) : (
        <>
          <Ago at={last.finishedAt} now={at} />, in {took(last)}
        </>
      ),
    ],
    last === null ? undefined : ["Found", sweepWords(last)],
    failed === null
      ? undefined
      : [
          "Failed",
          <Mark tone="bad">
            <Text>{failed.reason}</Text>
          </Mark>,
        ],
    ...boundWords(sweep, at).map(({ change, shows, unless }): [string, Child] => [
      change.charAt(0).toUpperCase() + change.slice(1),
      unless === undefined ? shows : `${shows} (${unless})`,
    ]),
    [
      "Next",
      next === null
        ? current === null
          ? "not scheduled"
          : "after this one"
        : next > at
          ? `in ${durationWords(next - at)}`
          : "now",
    ],
  ];
}

const Sweeps = ({ now }: { now: Now }) => (
  <Panel title="Sweeps">
    <Facts rows={sweepRows(now)} />
  </Panel>
);

const Drift = ({ now: { freshness, at } }: { now: Now }) => {
  const { audit, audits } = freshness;
  const causes = Object.entries(audit?.causes ?? {});
  return (
    <Panel title="Drift" note="records compared with Kinde">
      {audit === null ? (
        <p class="muted">No audit has finished yet.</p>
      ) : (
        <Facts
          rows={[
            [
              "Last audit",
              audit.drifted === 0 ? (
                <Mark tone="good">none of {countWords(audit.checked)} differed</Mark>
              ) : (
                <Mark tone="bad">
                  {countWords(audit.drifted)} of {countWords(audit.checked)} differed
                </Mark>
              ),
            ],
            ["Finished", <Ago at={audit.finishedAt} now={at} />],
            ["At most", `${percentWords(audit.atMost)} of all users, with 95% confidence`],
            ...causes.map(([cause, count]) => [cause, countWords(count ?? 0)] as const),
            audit.failed > 0 ? (["No answer for", plural(audit.failed, "user")] as const) : undefined,
            ["All audits", `${countWords(audits.checked)} checked`],
          ]}
        />
      )}
      {audit !== null && audit.examples.length > 0 && (
        <Table
          label="Records that differed"
          columns={["User", "Cause", "Fields"]}
          rows={audit.examples
            .slice(0, 5)
            .map(({ userId, cause, fields }) => [
              <UserLink id={userId} />,
              cause,
              <Text>{fields.slice(0, 5).join(", ")}</Text>,
            ])}
        />
      )}
    </Panel>
  );
};

const Arrivals = ({ now: { freshness, events, refusedRequests, at } }: { now: Now }) => {
  const { silence, webhook } = freshness;
  const { duplicate, ...groups } = events;
  const rows = Object.entries(groups).flatMap(([outcome, types]) =>
    typeof types === "number"
      ? []
      : Object.entries(types).map(([type, count]): [string, string, number] => [type, outcome, count]),
  );
  const refused = Object.values(refusedRequests).reduce((total, count) => total + count, 0);
  return (
    <Panel title="Events">
      <Facts
        rows={[
          ["Last event", silence === null ? "unknown: no worker has started" : <Silence silence={silence} />],
          silence === null ? undefined : ["Unusual after", durationWords(silence.usualMs)],
          ["Webhook at Kinde", <WebhookState state={webhook?.state ?? null} />],
          webhook === null ? undefined : ["Checked", <Ago at={webhook.checkedAt} now={at} />],
          ["Duplicates", countWords(duplicate)],
          ["Requests refused", countWords(refused)],
        ]}
      />
      {rows.length > 0 && (
        <Table
          label="Events by type"
          columns={["Type", "Outcome", "Events#"]}
          rows={rows
            .sort(([, , a], [, , b]) => b - a)
            .map(([type, outcome, count]) => [<Text>{type}</Text>, outcome, countWords(count)])}
        />
      )}
    </Panel>
  );
};

const Silence = ({ silence: { ever, forMs, unusual } }: { silence: NonNullable<Now["freshness"]["silence"]> }) => {
  const words = ever ? `${durationWords(forMs)} ago` : "never";
  return unusual ? <Mark tone="bad">{words}</Mark> : <span>{words}</span>;
};

/** The state of the webhook at the last check. */
export const WebhookState = ({ state }: { state: "ok" | "missing" | "incomplete" | "unknown" | null }) => {
  if (state === null) return <>not checked yet</>;
  if (state === "ok") return <Mark tone="good">registered</Mark>;
  return <Mark tone={state === "unknown" ? "notice" : "bad"}>{state}</Mark>;
};

const Queues = ({ now: { queues } }: { now: Now }) => (
  <Panel title="Queues" note={<a href="/queues/">all jobs</a>}>
    <Table
      label="Jobs by queue"
      columns={["Queue", "Waiting#", "Active#", "Delayed#", "Failed#"]}
      rows={Object.entries(queues).map(([name, { waiting, active, delayed, failed, paused }]) => [
        <>
          {name} {paused && <span class="tag">paused</span>}
        </>,
        ...[waiting, active, delayed, failed].map((count) => (
          <span class={count === 0 ? "muted" : undefined}>{countWords(count)}</span>
        )),
      ])}
    />
  </Panel>
);

const Storage = ({ now: { redis, memory, records, absences } }: { now: Now }) => {
  const loss = describeLoss(redis, redis.required);
  const share = memory.limit === 0 ? 0 : memory.used / memory.limit;
  return (
    <Panel title="Redis">
      <Facts
        rows={[
          [
            "Acknowledged events",
            loss === undefined ? <Mark tone="good">survive a crash</Mark> : <Mark tone="notice">{loss}</Mark>,
          ],
          ["Replicas", `${redis.replicas ?? "unknown"} connected, ${redis.required} required`],
          [
            "Memory",
            memory.limit === 0 ? (
              `${megabytes(memory.used)}, no limit`
            ) : (
              <Mark tone={share > 0.9 ? "bad" : share > 0.75 ? "notice" : "good"}>
                {megabytes(memory.used)} of {megabytes(memory.limit)}
              </Mark>
            ),
          ],
          ["Tombstones", countWords(records.deleted)],
          absences.users > 0 ? ["Not found in Kinde", `${countWords(absences.users)}, not confirmed yet`] : undefined,
        ]}
      />
    </Panel>
  );
};

function megabytes(bytes: number): string {
  return `${countWords(bytes / 1_048_576)} MiB`;
}

const LastFailures = ({ now: { lastFailures, at } }: { now: Now }) => (
  <Panel title="Last failures" note={<a href="/failed">all failures</a>}>
    {lastFailures.length === 0 ? (
      <p>
        <Mark tone="good">None</Mark>
      </p>
    ) : (
      <Table
        label="Last failures"
        columns={["Member", "Code", "When"]}
        rows={lastFailures.map(({ kind, member, code, failedAt }) => [
          kind === "user" ? <UserLink id={member} /> : <Text>{member}</Text>,
          code,
          <Ago at={failedAt} now={at} />,
        ])}
      />
    )}
  </Panel>
);

const charts = [
  { name: "behind", title: "Behind", unit: "users with an event that no record reflects yet" },
  { name: "age", title: "Oldest event", unit: "age of the oldest event that no record reflects yet" },
  { name: "readable", title: "Time to readable", unit: "share of events readable within 1, 10 and 60 s" },
  { name: "work", title: "Events and refreshes", unit: "per minute" },
  { name: "calls", title: "Calls to Kinde", unit: "per minute" },
  { name: "failed", title: "Failed", unit: "users and fan-outs whose refresh gave up" },
] as const;

/** The whole content of the page. */
export const NowPage = ({ now }: { now: Now | undefined }) => (
  <>
    <div class="title">
      <h1>Now</h1>
      <p id="connection" class="muted" role="status">
        as of this page's load
      </p>
    </div>
    <div id="figures" hx-sse:connect="/live" hx-swap="innerMorph" hx-config="sse.reconnectMaxDelay:5000">
      {now === undefined ? <NoFigures /> : <NowFigures now={now} />}
    </div>
    <section class="history" aria-labelledby="history-title">
      <div class="title">
        <h2 id="history-title">History</h2>
        <fieldset class="choice">
          <legend class="hidden">Time span</legend>
          <label>
            <input type="radio" name="span" value="hour" /> 1 hour
          </label>
          <label>
            <input type="radio" name="span" value="day" checked /> 24 hours
          </label>
          <label>
            <input type="radio" name="span" value="fortnight" /> 14 days
          </label>
        </fieldset>
      </div>
      <div class="charts">
        {charts.map(({ name, title, unit }) => (
          <figure class="chart" data-chart={name}>
            <figcaption>
              <strong>{title}</strong> <span class="muted">{unit}</span>
            </figcaption>
            <div class="plot" role="img" aria-label={`${title}: loading`} />
          </figure>
        ))}
      </div>
      <noscript>
        <p class="muted">Charts need JavaScript.</p>
      </noscript>
    </section>
  </>
);
