import { Hono } from "hono";
import type { Child } from "hono/jsx";
import { z } from "zod";
import { compareLive, fetchLive, type LiveComparison } from "../audit/compare-live.ts";
import { fetchUser } from "../kinde/fetch-user.ts";
import { userId as userIdSchema } from "../kinde/ids.ts";
import { partsToKeep } from "../kinde/keep-parts.ts";
import { findByEmail } from "../kinde/list-users.ts";
import { findMisfits } from "../refresh/property-values.ts";
import { inspectUser } from "../status/inspect-user.ts";
import { readForm, userIdOf } from "./forms.ts";
import type { PageDeps } from "./options.ts";
import type { DashboardContext, SessionVariables } from "./page.tsx";
import { Mark, Notice, Panel, Text, UserLink, userPath, Value } from "./parts.tsx";
import { explainProblem, type Problem, RequestError } from "./problems.ts";
import { type LiveFlags, UserPage } from "./user-page.tsx";

type Env = { Variables: SessionVariables };

const searchSchema = z.object({ query: z.string().trim().min(1, "must not be empty").max(320, "is too long") });
const setSchema = z.object({
  key: z.string().trim().min(1, "must not be empty").max(200, "is too long"),
  value: z.string().max(4_000, "is too long").default(""),
  remove: z.literal("on").optional(),
});
// JSON, because forms turn line feeds into CRLF.
const json = z
  .string()
  .max(30_000, "is too long")
  .transform((text, context) => {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      context.addIssue({ code: "custom", message: "is not JSON" });
      return z.NEVER;
    }
  })
  .pipe(z.string().max(4_000, "is too long").nullable());
const confirmSchema = setSchema.pick({ key: true }).extend({ wanted: json, before: json });

/** Creates the routes below `/users`. */
export function userRoutes(deps: PageDeps): Hono<Env> {
  const { page, act, operations, store } = deps;
  const app = new Hono<Env>();

  app.get("/users", (context) => page(context, { title: "Users" }, <SearchPage />));

  // A form and no query, so that no email address enters a URL, a history or a log.
  app.post("/users", async (context) => {
    const { query } = await readForm(context, searchSchema);
    if (userIdSchema.safeParse(query).success) return context.redirect(userPath(query), 303);
    if (!query.includes("@")) throw new RequestError(400, "Search for a user id (kp_…) or an email address.");
    const found = await findByEmail(operations.kinde, query, deps.call(context));
    const [first] = found;
    if (first !== undefined && found.length === 1) return context.redirect(userPath(first), 303);
    return page(context, { title: "Users", status: first === undefined ? 404 : 200 }, <SearchPage found={found} />);
  });

  app.get("/users/:id", async (context) => show(deps, context, { live: context.req.query("live") !== undefined }));

  app.post("/users/:id/refresh", async (context) => {
    const userId = userIdOf(context);
    return attempt(deps, context, async () => {
      const { outcome } = await act(context, { action: "refresh", subject: userId, userId }, () =>
        operations.refreshUser(userId, { ...deps.call(context), cause: "reprocess" }),
      );
      return (
        <Notice tone={outcome === "committed" ? "good" : "notice"} title={`Refreshed: ${outcome}`}>
          <p>{refreshWords[outcome]}</p>
        </Notice>
      );
    });
  });

  app.post("/users/:id/reprocess", async (context) => {
    const userId = userIdOf(context);
    return attempt(deps, context, async () => {
      await act(context, { action: "reprocess", subject: userId, userId }, () =>
        store.queues.enqueueReprocess([userId], "refresh"),
      );
      return (
        <Notice tone="good" title="Queued">
          <p>A worker refreshes the user next. It repeats the refresh until it succeeds.</p>
        </Notice>
      );
    });
  });

  app.post("/users/:id/discard", async (context) => {
    const userId = userIdOf(context);
    return attempt(deps, context, async () => {
      const found = await act(context, { action: "discard", subject: userId, userId }, () =>
        store.ledger.discard(userId),
      );
      return (
        <Notice tone={found ? "good" : "notice"} title={found ? "Discarded" : "Nothing was outstanding"}>
          <p>The record stays as it is. The next event or sweep that finds a difference refreshes the user.</p>
          <form method="post" action={`${userPath(userId)}/reprocess`}>
            <button type="submit">Undo: refresh the user after all</button>
          </form>
        </Notice>
      );
    });
  });

  app.get("/users/:id/set", (context) => {
    const userId = userIdOf(context);
    needsOperator(context);
    return page(context, { title: "Set a property" }, <SetPage userId={userId} keys={propertyKeys(deps)} />);
  });

  app.post("/users/:id/set", async (context) => {
    const userId = userIdOf(context);
    needsOperator(context);
    const { key, value, remove } = await readForm(context, setSchema);
    const call = deps.call(context);
    const profile = await fetchUser(operations.kinde, userId, { ...call, parts: new Set() });
    if (profile === undefined) throw new RequestError(404, `Kinde has no user ${userId}.`);
    const wanted = remove === "on" ? null : value;
    const misfits = findMisfits(deps.definitions, { [key]: wanted });
    const before = Object.hasOwn(profile.properties, key) ? (profile.properties[key] ?? null) : null;
    return page(
      context,
      { title: "Set a property" },
      <ReviewPage userId={userId} name={key} wanted={wanted} before={before} misfits={misfits} />,
    );
  });

  app.post("/users/:id/set/confirm", async (context) => {
    const userId = userIdOf(context);
    const { key, wanted, before } = await readForm(context, confirmSchema);
    return attempt(deps, context, async () => {
      const noted = { action: `set ${key}`, failed: "set a property", subject: userId, userId };
      const { misfits } = await act(context, noted, () =>
        operations.setProperties(userId, Object.fromEntries([[key, wanted]]), deps.call(context)),
      );
      return (
        <Notice tone={misfits.length > 0 ? "notice" : "good"} title={`Set ${key}`}>
          <p>Kinde has the value, and every reader sees it.</p>
          {misfits.map(({ flag, reason }) => (
            <p>
              The flag <code>{flag}</code> has its default: <Text>{reason}</Text>
            </p>
          ))}
          <form method="post" action={`${userPath(userId)}/set/confirm`}>
            <Change name={key} wanted={before} before={wanted} />
            <button type="submit">
              {before === null ? "Undo: remove it again" : "Undo: set it back to "}
              {before !== null && <Value of={before} />}
            </button>
          </form>
        </Notice>
      );
    });
  });

  return app;
}

const refreshWords = {
  committed: "The record holds what Kinde answered.",
  reflected: "A record that is new enough was there already.",
  superseded: "A refresh that began later had committed already.",
  deleted: "Kinde has deleted the user. The record is a tombstone.",
  absent: "Kinde did not find the user. That is not believed yet: the record stays.",
  unknown: "Kinde has no such user, and there is no record.",
} as const;

function needsOperator({ var: { session } }: DashboardContext): void {
  if (session.role !== "operate") throw new RequestError(403, "Your role can look, and change nothing.");
}

/** The property keys that flags read, as far as their sources name them. */
function propertyKeys({ definitions }: PageDeps): string[] {
  const keys = Object.values(definitions.flags).flatMap(
    ({ source }) => /^property ["']?([\w.-]+)/.exec(source)?.[1] ?? [],
  );
  return [...new Set(keys)].sort();
}

/** Shows the user's page with the result of an action, or with why it failed. */
async function attempt(deps: PageDeps, context: DashboardContext, run: () => Promise<Child>): Promise<Response> {
  try {
    return await show(deps, context, { notice: await run() });
  } catch (error) {
    const problem = explainProblem(error);
    if (error instanceof RequestError || problem.title === "Redis does not answer") throw error;
    if (problem.retryAfter !== undefined) context.header("retry-after", String(problem.retryAfter));
    return show(deps, context, { notice: <Failure problem={problem} />, status: problem.status });
  }
}

const Failure = ({ problem: { title, message } }: { problem: Problem }) => (
  <Notice tone="bad" title={title}>
    <p>
      <Text>{message}</Text>
    </p>
  </Notice>
);

interface ShowOptions {
  notice?: Child;
  /** Whether to ask Kinde. */
  live?: boolean;
  status?: Problem["status"];
}

async function show(deps: PageDeps, context: DashboardContext, options: ShowOptions): Promise<Response> {
  const { store, definitions, config, page } = deps;
  const userId = userIdOf(context);
  const live = options.live === true ? await askKinde(deps, context, userId) : undefined;
  const [inspection, trail] = await Promise.all([
    inspectUser(userId, { store, definitions, keep: partsToKeep(config.profile, definitions), now: deps.now() }),
    store.trail.read(userId),
  ]);
  return page(
    context,
    { title: userId, status: options.status ?? 200 },
    <UserPage
      {...{ inspection, trail, live }}
      now={deps.now()}
      canOperate={context.var.session.role === "operate"}
      notice={options.notice}
    />,
  );
}

/** Fetches the user from Kinde and compares, as `kindling inspect --live` does. */
async function askKinde(deps: PageDeps, context: DashboardContext, userId: string): Promise<LiveFlags> {
  const { operations, definitions, config, store } = deps;
  const keep = partsToKeep(config.profile, definitions);
  try {
    const user = await fetchLive(userId, { api: operations.kinde, definitions, keep, call: deps.call(context) });
    // Read after the fetch: a refresh can commit during the wait.
    const comparison: LiveComparison = compareLive(await store.records.read(userId), user, keep);
    return { flags: user?.flags, comparison };
  } catch (error) {
    const problem = explainProblem(error);
    if (error instanceof RequestError || problem.title === "Redis does not answer") throw error;
    return { problem };
  }
}

const SearchPage = ({ found }: { found?: readonly string[] }) => (
  <>
    <div class="title">
      <h1>Users</h1>
    </div>
    <form method="post" action="/users" class="search">
      <label for="query">User id or email address</label>
      <div class="row">
        <input
          id="query"
          name="query"
          type="search"
          required
          maxlength={320}
          autocomplete="off"
          spellcheck={false}
          placeholder="kp_… or name@example.com"
        />
        <button type="submit" class="primary">
          Search
        </button>
      </div>
      <p class="muted">An email address is looked up in Kinde. It enters no URL and no log.</p>
    </form>
    {found !== undefined && (
      <Panel title="Found">
        {found.length === 0 ? (
          <p>
            <Mark tone="notice">Kinde has no user with this email address.</Mark>
          </p>
        ) : (
          <ul class="plain">
            {found.map((id) => (
              <li>
                <UserLink id={id} />
              </li>
            ))}
          </ul>
        )}
      </Panel>
    )}
  </>
);

const SetPage = ({ userId, keys }: { userId: string; keys: readonly string[] }) => (
  <>
    <div class="title">
      <h1>Set a property</h1>
      <p class="muted">
        of <UserLink id={userId} />
      </p>
    </div>
    <form method="post" action={`${userPath(userId)}/set`} class="panel form">
      <label for="key">Property</label>
      <input id="key" name="key" required maxlength={200} list="keys" autocomplete="off" spellcheck={false} />
      <datalist id="keys">
        {keys.map((key) => (
          <option value={key} />
        ))}
      </datalist>
      <label for="value">Value</label>
      <input id="value" name="value" maxlength={4_000} autocomplete="off" />
      <label class="check">
        <input type="checkbox" name="remove" /> Remove the value instead
      </label>
      <p class="muted">The next page shows what Kinde has now, and asks before anything is changed.</p>
      <div class="buttons">
        <a class="button" href={userPath(userId)}>
          Cancel
        </a>
        <button type="submit" class="primary">
          Review
        </button>
      </div>
    </form>
  </>
);

interface ReviewProps {
  userId: string;
  name: string;
  wanted: string | null;
  before: string | null;
  misfits: readonly { flag: string; reason: string }[];
}

const ReviewPage = ({ userId, name, wanted, before, misfits }: ReviewProps) => (
  <>
    <div class="title">
      <h1>
        Set <Text>{name}</Text>?
      </h1>
      <p class="muted">
        of <UserLink id={userId} />
      </p>
    </div>
    <form method="post" action={`${userPath(userId)}/set/confirm`} class="panel form">
      <dl class="facts">
        <div>
          <dt>In Kinde now</dt>
          <dd>
            <Value of={before} />
          </dd>
        </div>
        <div>
          <dt>Afterwards</dt>
          <dd>
            <Value of={wanted} />
          </dd>
        </div>
      </dl>
      {misfits.map(({ flag, reason }) => (
        <p>
          <Mark tone="notice">
            The flag <code>{flag}</code> will have its default: <Text>{reason}</Text>
          </Mark>
        </p>
      ))}
      <p class="muted">The change is written to Kinde and can be undone on the next page.</p>
      <Change name={name} wanted={wanted} before={before} />
      <div class="buttons">
        <a class="button" href={userPath(userId)}>
          Cancel
        </a>
        <button type="submit" class="primary">
          Set in Kinde
        </button>
      </div>
    </form>
  </>
);

const Change = ({ name, wanted, before }: { name: string; wanted: string | null; before: string | null }) => (
  <>
    <input type="hidden" name="key" value={name} />
    <input type="hidden" name="wanted" value={JSON.stringify(wanted)} />
    <input type="hidden" name="before" value={JSON.stringify(before)} />
  </>
);
