import { Hono, type MiddlewareHandler } from "hono";
import type { Definitions } from "kindling";
import type { Config } from "../config.ts";
import { errorCode } from "../errors.ts";
import { limitBody, type Refuse } from "../http/body.ts";
import type { ClientAddress } from "../http/client-address.ts";
import { createRateCounter } from "../http/rate-counter.ts";
import { errorFields, type Log } from "../log.ts";
import { readHistory } from "../status/read-history.ts";
import type { Store } from "../store.ts";
import { actionRoutes } from "./actions.tsx";
import { createAssets } from "./assets.ts";
import { failedRoutes } from "./failed.tsx";
import { guard, safeHeaders } from "./guard.ts";
import type { KindeSignIn } from "./kinde-sign-in.ts";
import { createLive } from "./live.ts";
import { NoFigures, NowFigures, NowPage } from "./now-page.tsx";
import type { Act, Operations, PageDeps, RefusePage } from "./options.ts";
import { createPages, type DashboardContext, type SessionVariables } from "./page.tsx";
import { Notice, Text } from "./parts.tsx";
import { explainProblem, type Problem, RequestError } from "./problems.ts";
import { queueBoard } from "./queue-board.ts";
import { createReadNow } from "./read-now.ts";
import { createSessions } from "./sessions.ts";
import { signInRoutes } from "./sign-in.tsx";
import { sweepRoutes } from "./sweeps.tsx";
import { userRoutes } from "./users.tsx";
import { webhookRoutes } from "./webhooks.tsx";

/** Options for {@link createDashboard}. */
export interface DashboardOptions {
  config: Config;
  store: Store;
  operations: Operations;
  definitions: Definitions;
  kinde: KindeSignIn | undefined;
  /** Signs cookies: the same in all processes. */
  secret: Uint8Array<ArrayBuffer>;
  clientAddress: ClientAddress;
  refuse: Refuse;
  /** Aborted when requests in progress must end. */
  signal: AbortSignal;
  now: () => number;
  log: Log;
  /** Time between two updates of an open page, in milliseconds. Default: 2,000. */
  liveMs?: number;
}

/** The dashboard's app. */
export interface Dashboard {
  app: Hono;
  /** Ends all streams. */
  endStreams(): void;
}

const maxFormBytes = 65_536;
/** Calls to Kinde that one operator can cause per minute: each takes from the budget of everybody. */
const callsPerMinute = 120;
const openPaths = /^\/(sign-in(\/(kinde|callback))?|sign-out|healthz|assets\/.*)$/;

/** Creates the dashboard: pages for operators, rendered on the server. */
export function createDashboard(options: DashboardOptions): Dashboard {
  const { config, store, operations, definitions, signal, now, log } = options;
  const { url, tokens, sessionMs } = config.dashboard;
  const assets = createAssets();
  const page = createPages(assets);
  const sessions = createSessions({
    ...store,
    secret: options.secret,
    tokens,
    withKinde: options.kinde !== undefined,
    lifetimeMs: sessionMs,
    secure: url?.startsWith("https:") === true,
    now,
  });
  const refuse: RefusePage = (context, refusal) => {
    const { status } = options.refuse(context, { route: "dashboard", ...refusal });
    if (refusal.retryAfter !== undefined) context.header("retry-after", String(refusal.retryAfter));
    const problem = { status: refusal.status, title: "Refused", message: refusal.message };
    return showProblem(context, { ...problem, ...(status === 429 && { status }) });
  };
  const showProblem = (context: Parameters<RefusePage>[0], { status, title, message, retryAfter }: Problem) => {
    if (retryAfter !== undefined) context.header("retry-after", String(retryAfter));
    return page(
      context,
      { title, status },
      <>
        <h1 class="hidden">{title}</h1>
        <Notice tone="bad" title={title}>
          <p>
            <Text>{message}</Text>
          </p>
          <p>
            <a href="/">To the start</a>
          </p>
        </Notice>
      </>,
    );
  };

  const calls = createRateCounter({ perMinute: callsPerMinute, now, maxKeys: 1_000 });
  const deps: PageDeps = {
    config,
    store,
    operations,
    definitions,
    page,
    refuse,
    now,
    log,
    act: createAct(store, log, now),
    call(context: DashboardContext) {
      const seconds = calls.take(context.var.session.id);
      if (seconds !== undefined) throw new RequestError(429, `Too many calls to Kinde: try again in ${seconds} s.`);
      return { priority: "webhook", signal };
    },
  };
  const readNow = createReadNow(store, config, now);
  const live = createLive({
    ...(options.liveMs !== undefined && { intervalMs: options.liveMs }),
    render: async () => {
      try {
        return String(<NowFigures now={await readNow()} />);
      } catch (error) {
        log.debug(errorFields(error), "figures not read");
        return String(<NoFigures />);
      }
    },
  });

  const signedIn: MiddlewareHandler<{ Variables: SessionVariables }> = async (context, next) => {
    if (openPaths.test(context.req.path)) return next();
    const session = await sessions.read(context);
    if (session !== undefined) {
      context.set("session", session);
      return next();
    }
    const { path, method } = context.req;
    const wantsPage = method === "GET" && context.req.header("accept")?.includes("text/html") === true;
    const isFragment = context.req.header("hx-request") !== undefined;
    if (wantsPage && !isFragment) return context.redirect(`/sign-in?to=${encodeURIComponent(path)}`, 303);
    return showProblem(context, { status: 401, title: "Signed out", message: "Sign in again." });
  };

  const app = new Hono<{ Variables: SessionVariables }>();
  app.use(safeHeaders);
  app.get("/healthz", (context) => context.json({ status: "alive" }));
  app.use(guard({ url, refuse: (context, refusal) => refuseText(options.refuse, context, refusal) }));
  app.use(limitBody(maxFormBytes, { route: "dashboard", refuse }));
  app.use(signedIn);
  app.route("/", assets.routes);
  app.route("/", signInRoutes({ ...options, sessions, tokens, url, page, refuse }));

  app.get("/", async (context) => {
    const figures = await readNow().catch((error: unknown) => {
      log.debug(errorFields(error), "figures not read");
      return undefined;
    });
    const status = figures === undefined ? 503 : 200;
    return page(context, { title: "Now", charts: true, status }, <NowPage now={figures} />);
  });
  app.get("/live", (context) => {
    const { id } = context.var.session;
    const headers = { "content-type": "text/event-stream", "cache-control": "no-store" };
    // Hono would drop the stream without cancelling it.
    if (context.req.method === "HEAD") return context.body(null, 200, headers);
    const stream = live.open(async () => (await sessions.read(context))?.id === id);
    if (stream === undefined) throw new RequestError(429, "Too many pages are open: close some.");
    return context.body(stream, 200, headers);
  });
  app.get("/history", async (context) => {
    const span = context.req.query("span");
    if (span !== "hour" && span !== "day" && span !== "fortnight") {
      throw new RequestError(400, "The span is hour, day or fortnight.");
    }
    return context.json(await readHistory(store.history, span), 200, { "cache-control": "no-store" });
  });
  for (const routes of [
    userRoutes(deps),
    failedRoutes(deps),
    sweepRoutes(deps, readNow),
    webhookRoutes(deps),
    actionRoutes(deps),
    queueBoard(deps),
  ]) {
    app.route("/", routes);
  }
  app.notFound((context) =>
    showProblem(context, { status: 404, title: "Not found", message: "There is no such page." }),
  );
  app.onError((error, context) => {
    const problem = explainProblem(error);
    if (problem.status >= 500)
      log.warn({ path: context.req.routePath, ...errorFields(error) }, "dashboard page failed");
    return showProblem(context, problem);
  });
  // Hono's type of an app names its variables; servers do not care.
  return { app: app as unknown as Hono, endStreams: live.close };
}

/** A request from elsewhere gets a line of text, not a page. */
function refuseText(
  refuse: Refuse,
  ...[context, refusal]: Parameters<Parameters<typeof guard>[0]["refuse"]>
): Response {
  const { status } = refuse(context, { route: "dashboard", ...refusal });
  return context.text(`${refusal.message}\n`, status === 429 ? 429 : refusal.status);
}

/** Creates the function that runs actions: only for operators, and each leaves a note with its outcome. */
function createAct({ actions, trail }: Pick<Store, "actions" | "trail">, log: Log, now: () => number): Act {
  return async (context, { action: done, failed = done, subject, userId }, run) => {
    const { name: operator, role } = context.var.session;
    if (role !== "operate") throw new RequestError(403, "Your role can look, and change nothing.");
    const note = async (action: string, outcome: string) => {
      log.info({ operator, action, subject, outcome }, "operator's action");
      if (userId !== undefined) trail.note(userId, { kind: "action", what: action, outcome: operator });
      await actions.note({ at: now(), operator, action, subject, outcome });
    };
    // What was done is done, even if it cannot be noted: the log has it.
    const noteOrWarn = (action: string, outcome: string) =>
      note(action, outcome).catch((error: unknown) => log.warn(errorFields(error), "operator's action not noted"));
    try {
      const result = await run();
      await noteOrWarn(done, "done");
      return result;
    } catch (error) {
      await noteOrWarn(failed, errorCode(error));
      throw error;
    }
  };
}
