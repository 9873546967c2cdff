import { Hono } from "hono";
import type { Child } from "hono/jsx";
import { currentSweep } from "../sweep/queue.ts";
import { countWords } from "../words.ts";
import { sweepRows } from "./now-page.tsx";
import type { PageDeps } from "./options.ts";
import type { DashboardContext, SessionVariables } from "./page.tsx";
import { Confirm, Facts, Mark, Notice, Panel, Table, Text, UserLink } from "./parts.tsx";
import type { Now } from "./read-now.ts";

type Env = { Variables: SessionVariables };

/** Creates the routes of `/sweeps`. */
export function sweepRoutes({ page, store, act }: PageDeps, readNow: () => Promise<Now>): Hono<Env> {
  const app = new Hono<Env>();
  const show = async (context: DashboardContext, notice?: Child) =>
    page(
      context,
      { title: "Sweeps" },
      <SweepsPage now={await readNow()} canOperate={context.var.session.role === "operate"} notice={notice} />,
    );

  app.get("/sweeps", (context) => show(context));

  app.post("/sweeps", async (context) => {
    const underWay = (await currentSweep(store.queues)) !== undefined;
    await act(context, { action: "sweep", subject: "" }, () => store.queues.enqueueSweep());
    const title = underWay ? "A sweep was under way already" : "A sweep is under way";
    return show(
      context,
      <Notice tone={underWay ? "notice" : "good"} title={title}>
        <p>It runs at lower priority than events.</p>
      </Notice>,
    );
  });

  return app;
}

const SweepsPage = ({ now, canOperate, notice }: { now: Now; canOperate: boolean; notice: Child }) => {
  const { last } = now.sweep;
  const fields = Object.entries(last?.fields ?? {}).sort(([, one], [, other]) => other - one);
  const examples = now.freshness.audit?.examples ?? [];
  return (
    <>
      <div class="title">
        <h1>Sweeps</h1>
        <p class="muted">compare every user in Kinde with its record</p>
      </div>
      {notice}
      {canOperate && (
        <div class="toolbar">
          <Confirm id="sweep" label="Sweep now…" question="Start a sweep?" action="/sweeps">
            Compares all users with Kinde, 500 per call, and refreshes those that differ. It harms nothing, and one runs
            at a time.
          </Confirm>
        </div>
      )}
      <div class="panels">
        <Panel title="State">
          <Facts rows={sweepRows(now)} />
        </Panel>
        <Panel title="What differed" note="users by the first field that differs, in the last sweep">
          {fields.length === 0 ? (
            <p>
              <Mark tone="good">Nothing</Mark>
            </p>
          ) : (
            <Table
              label="What differed"
              columns={["Field", "Users#"]}
              rows={fields.map(([field, count]) => [<Text>{field}</Text>, countWords(count)])}
            />
          )}
        </Panel>
        <Panel title="Last audit" note="records that differed from Kinde, and why">
          {examples.length === 0 ? (
            <p class="muted">None.</p>
          ) : (
            <Table
              label="Last audit"
              columns={["User", "Cause", "Fields"]}
              rows={examples.map(({ userId, cause, fields: differing }) => [
                <UserLink id={userId} />,
                cause,
                <Text>{differing.join(", ")}</Text>,
              ])}
            />
          )}
        </Panel>
      </div>
    </>
  );
};
