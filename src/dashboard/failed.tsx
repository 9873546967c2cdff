import { Hono } from "hono";
import { z } from "zod";
import { discardFailed, type Failed, listFailed, retryFailed } from "../maintenance/failed.ts";
import { countWords, plural } from "../words.ts";
import { readForm } from "./forms.ts";
import type { PageDeps } from "./options.ts";
import type { DashboardContext, SessionVariables } from "./page.tsx";
import { Ago, Confirm, Mark, Notice, Table, Text, UserLink } from "./parts.tsx";

type Env = { Variables: SessionVariables };

const membersShown = 200;
const oneOrAll = z.object({
  member: z
    .string()
    .regex(/^[\w:-]{1,200}$/, "is not on the list")
    .optional(),
  all: z.literal("yes").optional(),
});

/** Creates the routes below `/failed`. */
export function failedRoutes(deps: PageDeps): Hono<Env> {
  const { page, store, act } = deps;
  const app = new Hono<Env>();

  const show = async (context: DashboardContext, done?: { title: string; text: string; undo?: string }) => {
    const failures = await listFailed(store);
    return page(
      context,
      { title: "Failed" },
      <FailedPage
        failures={failures}
        now={deps.now()}
        canOperate={context.var.session.role === "operate"}
        done={done}
      />,
    );
  };
  const choose = async (context: DashboardContext) => {
    const { member, all } = await readForm(context, oneOrAll);
    const failures = await listFailed(store);
    return all === "yes"
      ? { subject: "all", chosen: failures }
      : { subject: member ?? "", chosen: failures.filter((failure) => failure.member === member) };
  };

  app.get("/failed", (context) => show(context));

  app.post("/failed/retry", async (context) => {
    const { subject, chosen } = await choose(context);
    await act(context, { action: "retry", subject, ...userOf(chosen) }, () => retryFailed(store, chosen));
    return show(context, {
      title: `Queued: ${countWords(chosen.length)}`,
      text: "Each stays on this list until it succeeds.",
    });
  });

  app.post("/failed/discard", async (context) => {
    const { subject, chosen } = await choose(context);
    await act(context, { action: "discard", subject, ...userOf(chosen) }, () => discardFailed(store, chosen));
    const [only] = chosen;
    return show(context, {
      title: `Discarded: ${countWords(chosen.length)}`,
      text: "The records stay as they are. The next event or sweep that finds a difference refreshes the user.",
      ...(only?.kind === "user" && { undo: only.member }),
    });
  });

  return app;
}

function userOf(chosen: readonly Failed[]): { userId?: string } {
  const [only] = chosen;
  return chosen.length === 1 && only?.kind === "user" ? { userId: only.member } : {};
}

interface FailedPageProps {
  failures: readonly Failed[];
  now: number;
  canOperate: boolean;
  done: { title: string; text: string; undo?: string } | undefined;
}

const FailedPage = ({ failures, now, canOperate, done }: FailedPageProps) => (
  <>
    <div class="title">
      <h1>Failed</h1>
      <p class="muted">what gave up after all its attempts</p>
    </div>
    {done && (
      <Notice tone="good" title={done.title}>
        <p>{done.text}</p>
        {done.undo !== undefined && (
          <form method="post" action={`/users/${encodeURIComponent(done.undo)}/reprocess`}>
            <button type="submit">Undo: refresh the user after all</button>
          </form>
        )}
      </Notice>
    )}
    {failures.length === 0 ? (
      <p>
        <Mark tone="good">Nothing has failed</Mark>
      </p>
    ) : (
      <>
        {canOperate && (
          <div class="toolbar">
            <Confirm
              id="retry-all"
              label="Retry all…"
              question={`Retry ${plural(failures.length, "failure")}?`}
              action="/failed/retry"
              fields={{ all: "yes" }}
            >
              They are queued at low priority, so that new events do not wait. If a scope was missing, the fleet
              requests one new access token, which Kinde bills.
            </Confirm>
          </div>
        )}
        <Table
          label="Failures"
          columns={["Member", "Code", "Reason", "Attempts#", "When", ...(canOperate ? ["Remedy"] : [])]}
          rows={failures
            .slice(0, membersShown)
            .map((failure, index) => [
              failure.kind === "user" ? <UserLink id={failure.member} /> : <Text>{failure.member}</Text>,
              <code>{failure.code}</code>,
              <Text>{failure.message}</Text>,
              countWords(failure.attempts),
              <Ago at={failure.failedAt} now={now} />,
              ...(canOperate ? [<Remedies failure={failure} id={index} />] : []),
            ])}
        />
        {failures.length > membersShown && (
          <p class="muted">
            The latest {membersShown} of {countWords(failures.length)}. <code>kindling failed</code> lists all.
          </p>
        )}
      </>
    )}
  </>
);

const Remedies = ({ failure: { member }, id }: { failure: Failed; id: number }) => (
  <div class="row">
    <Confirm id={`retry-${id}`} label="Retry…" question={`Retry ${member}?`} action="/failed/retry" fields={{ member }}>
      It is queued at low priority and stays on this list until it succeeds.
    </Confirm>
    <Confirm
      id={`discard-${id}`}
      label="Discard…"
      question={`Discard ${member}?`}
      action="/failed/discard"
      fields={{ member }}
      danger
    >
      It leaves this list without a refresh. The record stays as it is until the next event or sweep.
    </Confirm>
  </div>
);
