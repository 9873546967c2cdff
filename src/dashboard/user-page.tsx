import type { Child } from "hono/jsx";
import type { LiveComparison } from "../audit/compare-live.ts";
import type { TrailEntry } from "../redis/trail.ts";
import type { FlagView, Inspection } from "../status/inspect-user.ts";
import { durationWords, plural } from "../words.ts";
import { Ago, Confirm, Facts, Mark, Panel, Table, Text, userPath, Value } from "./parts.tsx";
import type { Problem } from "./problems.ts";

/** What Kinde says about the user now, or why it says nothing. */
export type LiveFlags =
  | { flags: Readonly<Record<string, unknown>> | undefined; comparison: LiveComparison; problem?: undefined }
  | { problem: Problem };

interface UserPageProps {
  inspection: Inspection;
  trail: readonly TrailEntry[];
  /** Absent if Kinde was not asked. */
  live: LiveFlags | undefined;
  now: number;
  canOperate: boolean;
  notice?: Child;
}

/** A user's record, what led to it, and what can be done. */
export const UserPage = ({ inspection, trail, live, now, canOperate, notice }: UserPageProps) => (
  <>
    <div class="title">
      <h1 class="id">
        <code>{inspection.userId}</code>
      </h1>
    </div>
    {notice}
    {canOperate && <Buttons inspection={inspection} />}
    <div class="panels user">
      <Record inspection={inspection} now={now} />
      <Flags inspection={inspection} live={live} />
      <History trail={trail} now={now} />
    </div>
  </>
);

const Buttons = ({ inspection: { userId, ledger } }: { inspection: Inspection }) => {
  const path = userPath(userId);
  return (
    <div class="toolbar">
      <Confirm id="refresh" label="Refresh…" question="Refresh this user?" action={`${path}/refresh`}>
        Fetches the user from Kinde now and commits the record. Readers see Kinde's values at once.
      </Confirm>
      <a class="button" href={`${path}/set`}>
        Set a property…
      </a>
      <Confirm id="reprocess" label="Reprocess…" question="Reprocess this user?" action={`${path}/reprocess`}>
        Queues a refresh. A worker repeats it until it succeeds, so use this while Kinde has trouble.
      </Confirm>
      {ledger !== null && (
        <Confirm
          id="discard"
          label="Discard…"
          question="Discard what is outstanding?"
          action={`${path}/discard`}
          danger
        >
          Removes the user from the ledger without a refresh. The record stays as it is until the next event or sweep.
          You can undo it.
        </Confirm>
      )}
    </div>
  );
};

const Record = ({ inspection: { record, ledger, jobs }, now }: { inspection: Inspection; now: number }) => (
  <Panel title="Record">
    <Facts
      rows={[
        [
          "Status",
          record === null ? (
            <Mark tone="bad">none: readers have the defaults</Mark>
          ) : record.status === "present" ? (
            <Mark tone="good">present</Mark>
          ) : (
            <Mark tone="notice">deleted (tombstone)</Mark>
          ),
        ],
        record === null ? undefined : ["Fetched", <Ago at={record.fetchedAt} now={now} />],
        record === null ? undefined : ["Ticket", <code>{String(record.ticket)}</code>],
        record === null
          ? undefined
          : [
              "Definitions",
              record.schemaMatches ? "the current ones" : <Mark tone="notice">others: {record.schema}</Mark>,
            ],
        [
          "Events",
          ledger === null ? (
            <Mark tone="good">none outstanding</Mark>
          ) : (
            <Mark tone="notice">outstanding for {durationWords(ledger.ageMs)}</Mark>
          ),
        ],
        ledger?.failure === undefined
          ? undefined
          : [
              "Failure",
              <>
                <Mark tone="bad">{ledger.failure.code}</Mark> after {plural(ledger.failure.attempts, "attempt")},{" "}
                <Ago at={ledger.failure.failedAt} now={now} />: <Text>{ledger.failure.message}</Text>
              </>,
            ],
        [
          "Jobs",
          jobs.length === 0
            ? "none"
            : jobs
                .map(({ queue, state, attempts }) => `${queue} ${state}${attempts > 0 ? ` (${attempts})` : ""}`)
                .join(", "),
        ],
      ]}
    />
  </Panel>
);

const Flags = ({ inspection: { userId, flags, record }, live }: Pick<UserPageProps, "inspection" | "live">) => {
  const asked = live !== undefined && live.problem === undefined ? live : undefined;
  const refresh = {
    "hx-get": `${userPath(userId)}?live=1`,
    "hx-select": "#flags",
    "hx-target": "#flags",
    "hx-swap": "outerHTML",
  };
  return (
    <div id="flags">
      <Panel title="Flags" note={<Verdict live={live} recorded={record !== null} />}>
        <Table
          label="Flags"
          columns={["Flag", "Value", ...(asked === undefined ? [] : ["Kinde now"]), "Origin"]}
          rows={flags.map((flag) => [
            <strong>{flag.name}</strong>,
            <Stored flag={flag} />,
            ...(asked === undefined ? [] : [<Now flag={flag} flags={asked.flags} />]),
            <Origin flag={flag} />,
          ])}
        />
        {asked !== undefined && asked.comparison.profile.length > 0 && (
          <p class="muted">
            In the profile these differ: <Text>{asked.comparison.profile.map(({ name }) => name).join(", ")}</Text>
          </p>
        )}
        <p>
          <a class="button" href={`${userPath(userId)}?live=1`} {...refresh}>
            {asked === undefined ? "Compare with Kinde" : "Compare again"}
          </a>
        </p>
      </Panel>
    </div>
  );
};

const Verdict = ({ live, recorded }: { live: LiveFlags | undefined; recorded: boolean }) => {
  if (live === undefined) return <span role="status">what readers have</span>;
  if (live.problem !== undefined) {
    return (
      <span role="status">
        <Mark tone="bad">
          <Text>{live.problem.message}</Text>
        </Mark>
      </span>
    );
  }
  const { exists, same } = live.comparison;
  return (
    <span role="status">
      {same ? (
        <Mark tone="good">{exists ? "no difference to Kinde" : "Kinde has no such user either"}</Mark>
      ) : (
        <Mark tone="bad">
          {!exists
            ? "Kinde has no such user"
            : recorded
              ? "differs from Kinde"
              : "Kinde has the user, without a record here"}
        </Mark>
      )}
    </span>
  );
};

const Stored = ({ flag }: { flag: FlagView }) => {
  if (!("value" in flag)) return <Mark tone="notice">not in the record</Mark>;
  const others = Object.entries(flag.organizations ?? {});
  return (
    <>
      <Value of={flag.value} />
      {others.slice(0, organizationsShown).map(([code, value]) => (
        <div class="muted">
          <Value of={value} /> in <Text>{code}</Text>
        </div>
      ))}
      {others.length > organizationsShown && (
        <div class="muted">and other values in {others.length - organizationsShown} more</div>
      )}
    </>
  );
};

const organizationsShown = 5;

const Now = ({ flag, flags }: { flag: FlagView; flags: Readonly<Record<string, unknown>> | undefined }) => {
  if (flags === undefined || !(flag.name in flags)) return <span class="muted">–</span>;
  const live = flags[flag.name];
  const same = JSON.stringify(live) === JSON.stringify(flag.value);
  return same ? (
    <Value of={live} />
  ) : (
    <Mark tone="bad">
      <Value of={live} />
    </Mark>
  );
};

const Origin = ({ flag: { source, misfit } }: { flag: FlagView }) => (
  <>
    <code class="source">
      <Text>{source ?? "no longer declared"}</Text>
    </code>
    {misfit !== null && (
      <div>
        <Mark tone="notice">
          <Text>{misfit}</Text>: the default is used
        </Mark>
      </div>
    )}
  </>
);

const entriesShown = 100;
const titles = { event: "Event", refresh: "Refresh", action: "Operator" } as const;
const fine: ReadonlySet<string> = new Set([
  "accepted",
  "committed",
  "reflected",
  "superseded",
  "deleted",
  "duplicate",
  "ignored",
]);

const History = ({ trail, now }: { trail: readonly TrailEntry[]; now: number }) => (
  <div class="wide">
    <Panel title="Events and refreshes" note="of the last 14 days, as far as there is room for them">
      {trail.length === 0 ? (
        <p class="muted">None.</p>
      ) : (
        <Table
          label="Events and refreshes"
          columns={["When", "Kind", "What", "Outcome"]}
          rows={trail.slice(0, entriesShown).map(({ at, kind, what, outcome }) => [
            <Ago at={at} now={now} />,
            titles[kind],
            <Text>{what}</Text>,
            kind === "action" ? (
              <>
                by <Text>{outcome}</Text>
              </>
            ) : (
              <Mark tone={fine.has(outcome) ? "good" : "notice"}>
                <Text>{outcome}</Text>
              </Mark>
            ),
          ])}
        />
      )}
    </Panel>
  </div>
);
