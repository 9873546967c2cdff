import { Hono } from "hono";
import { deleteCookie, getSignedCookie, setSignedCookie } from "hono/cookie";
import { KindlingError } from "kindling";
import { z } from "zod";
import { type ClientAddress, sourceOf } from "../http/client-address.ts";
import { createRateCounter } from "../http/rate-counter.ts";
import { createTokenFinder } from "../http/require-token.ts";
import type { Log } from "../log.ts";
import type { DashboardToken } from "../setting-values.ts";
import type { KindeSignIn } from "./kinde-sign-in.ts";
import type { RefusePage } from "./options.ts";
import type { RenderPage, SessionVariables } from "./page.tsx";
import { Notice, Text } from "./parts.tsx";
import type { Operator, Sessions } from "./sessions.ts";

/** Dependencies of {@link signInRoutes}. */
export interface SignInOptions {
  sessions: Sessions;
  tokens: readonly DashboardToken[];
  /** Absent if no application of Kinde is configured. */
  kinde: KindeSignIn | undefined;
  secret: Uint8Array<ArrayBuffer>;
  /** Origin that browsers open; absent: the one of the request. */
  url: string | undefined;
  clientAddress: ClientAddress;
  page: RenderPage;
  refuse: RefusePage;
  now: () => number;
  log: Pick<Log, "info">;
}

type Env = { Variables: SessionVariables };

/** Attempts per minute and source. A token of 32 characters cannot be guessed; this keeps the log readable. */
const attemptsPerMinute = 10;
const pendingCookie = "kindling-sign-in";
const pendingSeconds = 600;

const formSchema = z.object({ token: z.string().min(1).max(1_000), to: z.string().optional() });
const pendingSchema = z.object({ state: z.string(), nonce: z.string(), verifier: z.string(), to: z.string() });

/** Creates the routes that begin and end sessions. */
export function signInRoutes(options: SignInOptions): Hono<Env> {
  const { sessions, tokens, kinde, secret, url, clientAddress, page, refuse, now, log } = options;
  const find = createTokenFinder(tokens);
  const attempts = createRateCounter({ perMinute: attemptsPerMinute, now, maxKeys: 10_000 });
  const ways = { withTokens: tokens.length > 0, withKinde: kinde !== undefined };
  const app = new Hono<Env>();

  const noteSignIn = ({ name, role }: Operator, address: string) =>
    log.info({ operator: name, role, address }, "signed in to the dashboard");

  app.get("/sign-in", (context) => {
    const to = safePath(context.req.query("to"));
    return page(context, { title: "Sign in" }, <SignInPage {...ways} to={to} />);
  });

  app.post("/sign-in", async (context) => {
    const address = clientAddress(context);
    const retryAfter = attempts.take(sourceOf(address));
    if (retryAfter !== undefined) {
      const message = `Too many attempts: try again in ${retryAfter} s.`;
      return refuse(context, { status: 429, code: "too_many_requests", message, retryAfter, blame: false });
    }
    const form = formSchema.safeParse(await context.req.parseBody().catch(() => ({})));
    const token = form.success ? find(form.data.token.trim()) : undefined;
    const to = safePath(form.data?.to);
    if (token === undefined) {
      // Counted and logged; the page says it in place of a bare refusal.
      const refused = await refuse(context, { status: 401, code: "unauthorized", message: "The token is not valid." });
      if (refused.status !== 401) return refused;
      const content = <SignInPage {...ways} to={to} problem="This token is not valid." />;
      return page(context, { title: "Sign in", status: 401 }, content);
    }
    await sessions.begin(context, { name: token.name, role: token.role }, token);
    noteSignIn(token, address);
    return context.redirect(to, 303);
  });

  app.get("/sign-in/kinde", async (context) => {
    if (kinde === undefined) return context.notFound();
    const begun = await kinde.begin(callbackOf(context.req.url, url)).catch(asSignInProblem);
    if ("problem" in begun) return failed(begun.problem, 503);
    const pending = { ...begun.pending, to: safePath(context.req.query("to")) };
    const value = Buffer.from(JSON.stringify(pending)).toString("base64url");
    // Lax, as the browser comes back from another site.
    await setSignedCookie(context, pendingCookie, value, secret, {
      path: "/sign-in",
      httpOnly: true,
      sameSite: "Lax",
      maxAge: pendingSeconds,
      secure: url?.startsWith("https:") === true,
    });
    return context.redirect(begun.url.href, 302);

    function failed(problem: string, status: 403 | 503) {
      return page(context, { title: "Sign in", status }, <SignInPage {...ways} to="/" problem={problem} />);
    }
  });

  app.get("/sign-in/callback", async (context) => {
    if (kinde === undefined) return context.notFound();
    const value = await getSignedCookie(context, secret, pendingCookie);
    deleteCookie(context, pendingCookie, { path: "/sign-in" });
    const pending = pendingSchema.safeParse(parseJson(value || ""));
    const problem = (text: string, status: 400 | 403 | 503) =>
      page(context, { title: "Sign in", status }, <SignInPage {...ways} to="/" problem={text} />);
    if (!pending.success) return problem("The sign-in took too long, or began in another browser: try again.", 400);
    const callback = new URL(callbackOf(context.req.url, url));
    callback.search = new URL(context.req.url).search;
    const operator = await kinde.finish(callback, pending.data).catch(asSignInProblem);
    if ("problem" in operator) {
      const status = operator.code === "kinde_unavailable" ? 503 : operator.code === "permission_missing" ? 403 : 400;
      return problem(operator.problem, status);
    }
    await sessions.begin(context, operator);
    noteSignIn(operator, clientAddress(context));
    // Not a redirect: the browser would count it as coming from Kinde, and withhold the cookie of the session.
    return page(context, { title: "Signed in" }, <SignedInPage to={pending.data.to} />);
  });

  app.post("/sign-out", async (context) => {
    const session = await sessions.read(context);
    if (session !== undefined) await sessions.end(context, session);
    return context.redirect("/sign-in", 303);
  });

  return app;
}

function callbackOf(requestUrl: string, url: string | undefined): string {
  return `${url ?? new URL(requestUrl).origin}/sign-in/callback`;
}

/** Returns a path of this server; `/` for anything else. */
function safePath(text: string | undefined): string {
  const base = "http://here";
  if (text === undefined || !text.startsWith("/") || !URL.canParse(text, base)) return "/";
  const { origin, pathname, search } = new URL(text, base);
  return origin === base && !pathname.startsWith("//") && !pathname.startsWith("/sign-") ? pathname + search : "/";
}

function asSignInProblem(error: unknown): { problem: string; code: string } {
  if (!(error instanceof KindlingError)) throw error;
  return { problem: error.message, code: error.code };
}

function parseJson(value: string): unknown {
  try {
    return JSON.parse(Buffer.from(value, "base64url").toString());
  } catch {
    return undefined;
  }
}

interface SignInPageProps {
  withTokens: boolean;
  withKinde: boolean;
  to: string;
  problem?: string;
}

const SignInPage = ({ withTokens, withKinde, to, problem }: SignInPageProps) => (
  <div class="sign-in">
    <h1>Sign in</h1>
    <p class="muted">Kindling's dashboard, for operators.</p>
    {problem !== undefined && (
      <Notice tone="bad" title="Not signed in">
        <p>
          <Text>{problem}</Text>
        </p>
      </Notice>
    )}
    {withKinde && (
      <p>
        <a class="button primary" href={`/sign-in/kinde?to=${encodeURIComponent(to)}`}>
          Sign in with Kinde
        </a>
      </p>
    )}
    {withTokens && (
      <form method="post" action="/sign-in" class="form">
        <label for="token">Operator token</label>
        <input id="token" name="token" type="password" required maxlength={1_000} autocomplete="current-password" />
        <input type="hidden" name="to" value={to} />
        <div class="buttons">
          <button type="submit" class={withKinde ? undefined : "primary"}>
            Sign in
          </button>
        </div>
      </form>
    )}
  </div>
);

const SignedInPage = ({ to }: { to: string }) => (
  <div class="sign-in">
    <meta http-equiv="refresh" content={`0;url=${to}`} />
    <h1>Signed in</h1>
    <p>
      <a href={to}>Go on</a>
    </p>
  </div>
);
