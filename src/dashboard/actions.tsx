import { Hono } from "hono";
import { isUserId } from "kindling/contract";
import type { Action } from "../redis/action-log.ts";
import type { PageDeps } from "./options.ts";
import type { SessionVariables } from "./page.tsx";
import { Ago, Mark, Table, Text, UserLink } from "./parts.tsx";

const actionsShown = 200;

/** Creates the route `/actions`: what operators did. */
export function actionRoutes({ page, store, now }: PageDeps): Hono<{ Variables: SessionVariables }> {
  return new Hono<{ Variables: SessionVariables }>().get("/actions", async (context) =>
    page(context, { title: "Actions" }, <ActionsPage actions={await store.actions.latest(actionsShown)} now={now()} />),
  );
}

const ActionsPage = ({ actions, now }: { actions: readonly Action[]; now: number }) => (
  <>
    <div class="title">
      <h1>Actions</h1>
      <p class="muted">what operators did here</p>
    </div>
    {actions.length === 0 ? (
      <p class="muted">None yet.</p>
    ) : (
      <Table
        label="Actions"
        columns={["When", "Operator", "Action", "Subject", "Outcome"]}
        rows={actions.map(({ at, operator, action, subject, outcome }) => [
          <Ago at={at} now={now} />,
          <Text>{operator}</Text>,
          <Text>{action}</Text>,
          isUserId(subject) ? <UserLink id={subject} /> : <Text>{subject}</Text>,
          <Mark tone={outcome === "done" ? "good" : "bad"}>
            <Text>{outcome}</Text>
          </Mark>,
        ])}
      />
    )}
  </>
);
