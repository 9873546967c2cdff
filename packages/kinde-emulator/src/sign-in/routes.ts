import type { HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import { getCookie } from "hono/cookie";
import { type Applications, allowsUrl } from "../auth/applications.ts";
import type { Grants, Session, Visitor } from "../auth/grants.ts";
import { isForeign } from "../http/browser-guard.ts";
import type { createPipeline, EmulatorContext } from "../http/pipeline.ts";
import type { Reply } from "../http/reply.ts";
import { isPending } from "../kinde/invitations.ts";
import type { World } from "../kinde/world.ts";
import type { UserState } from "../state/user-state.ts";
import { findUsers } from "./find-users.ts";
import { choicePage, createPage, messagePage, PAGE_PARAMETERS } from "./page.ts";
import { callbackUrl, errorRedirect, parseRequest, type SignInRequest } from "./request.ts";
import type { SignIn, SignInResult } from "./sign-in.ts";

const LISTED = 8;
const RECENT = 3;

export interface SignInRouteDeps {
  world: World;
  applications: Applications;
  grants: Grants;
  signIn: SignIn;
  /** Returns the user to sign in as without a page, if any. */
  scriptedUser: () => string | null;
  issuer: () => string;
}

/** Mounts the sign-in page, signing out, and the pages that invitations and the self-serve portal lead to. */
export function mountSignIn(
  app: Hono<{ Bindings: HttpBindings }>,
  pipeline: ReturnType<typeof createPipeline>,
  deps: SignInRouteDeps,
): void {
  const { world, applications, grants, signIn, scriptedUser, issuer } = deps;
  let recent: readonly string[] = [];

  // Browsers share one cookie jar among all ports of a host.
  const cookieName = () => `emulator_session_${new URL(issuer()).port}`;
  const sessionOf = (context: EmulatorContext) => grants.session(getCookie(context, cookieName()));
  const redirect = (location: string, headers: Record<string, string> = {}): Reply => ({
    status: 303,
    body: "",
    headers: { location, "cache-control": "no-store", ...headers },
  });
  /** Without a lifetime, the cookie ends with the browser. */
  const setCookie = (value: string, seconds?: number) => ({
    "set-cookie": `${cookieName()}=${value}; Path=/; HttpOnly; SameSite=Lax${seconds === undefined ? "" : `; Max-Age=${seconds}`}`,
  });
  const visitorOf = (context: EmulatorContext): Visitor => ({
    address: context.env.incoming.socket.remoteAddress ?? "",
    userAgent: (context.req.header("user-agent") ?? "").slice(0, 500),
  });
  const signedIn = ({ location, session }: { location: string; session: Session }) => {
    recent = [session.userId, ...recent.filter((id) => id !== session.userId)].slice(0, RECENT);
    const lifetime = session.expires - session.authTime;
    return redirect(location, setCookie(session.id, session.isPersistent ? lifetime : undefined));
  };

  const choose = async (request: SignInRequest, params: URLSearchParams, query: string, problem?: string) => {
    const known = query === "" ? recent.flatMap((id) => world.users.get(id) ?? []) : [];
    const { users, more } = await findUsers(world, query, LISTED);
    return choicePage({
      request,
      params,
      query,
      recent: known,
      users: users.filter(({ id }) => !known.some((one) => one.id === id)),
      more,
      userCount: world.users.count,
      organizationName: (code) => world.catalogue.organizations.get(code)?.name,
      problem,
    });
  };

  const checked = async (
    context: EmulatorContext,
    handle: (
      request: SignInRequest,
      params: URLSearchParams,
      page: { query?: string; view?: string },
    ) => Promise<Reply>,
  ): Promise<Reply> => {
    const params = new URL(context.req.url).searchParams;
    const page = {
      query: params.get(PAGE_PARAMETERS.query) ?? undefined,
      view: params.get(PAGE_PARAMETERS.view) ?? undefined,
    };
    for (const name of Object.values(PAGE_PARAMETERS)) params.delete(name);
    const parsed = parseRequest(params, applications, world);
    if (parsed.ok) return handle(parsed.request, params, page as { query?: string; view?: string });
    if ("redirect" in parsed) return redirect(parsed.redirect);
    return messagePage("This sign-in cannot continue", parsed.refusal, 400);
  };

  const open = (context: EmulatorContext) =>
    checked(context, async (request, params, { query, view }) => {
      const isPage = query !== undefined || view !== undefined;
      const session = sessionOf(context);
      const scripted = world.users.get(scriptedUser() ?? "");
      if (scripted && !isPage) {
        const result = signIn.signIn(request, scripted.id, "script", visitorOf(context));
        if (result.ok) return signedIn(result);
        if (request.prompt === "none") return redirect(errorRedirect(request, "access_denied", result.problem));
        return choose(request, params, "", result.problem);
      }
      if (session && !isPage && resumes(request, world.users.get(session.userId))) {
        const result = signIn.resume(request, session, visitorOf(context));
        if (result.ok) return signedIn(result);
        if (request.prompt === "none") return redirect(errorRedirect(request, "access_denied", result.problem));
        return choose(request, params, "", result.problem);
      }
      if (request.prompt === "none")
        return redirect(errorRedirect(request, "login_required", "Nobody is signed in in this browser."));
      if (view === "create" || (request.signUp && view !== "choose")) return createPage({ request, params });
      return choose(request, params, (query ?? request.loginHint ?? "").slice(0, 200));
    });

  const submit = (context: EmulatorContext) =>
    checked(context, async (request, params) => {
      if (isForeign(context))
        return messagePage("This sign-in cannot continue", "A page of another origin sent this form.", 403);
      const form = new URLSearchParams(await context.req.text());
      const organization = form.get("organization") ?? undefined;
      const text = (name: string) => (form.get(name) ?? "").trim();
      if (form.has("create")) {
        const values = { email: text("email"), firstName: text("first_name"), lastName: text("last_name") };
        const problem = invalid(values);
        const result: SignInResult =
          problem === undefined
            ? signIn.signUp(request, signUpOf(values), visitorOf(context), organization)
            : { ok: false, problem };
        return result.ok ? signedIn(result) : createPage({ request, params, values, problem: result.problem });
      }
      const user = world.users.get(form.get("user") ?? "");
      if (!user) return choose(request, params, "", "This user no longer exists.");
      const result = signIn.signIn(request, user.id, "page", visitorOf(context), organization);
      return result.ok ? signedIn(result) : choose(request, params, "", result.problem);
    });

  const signOut = (context: EmulatorContext): Reply => {
    const session = sessionOf(context);
    if (session) grants.endSession(session.id);
    const target = context.req.query("redirect") || context.req.query("post_logout_redirect_uri");
    const clear = setCookie("", 0);
    if (target === undefined) {
      const page = messagePage("You are signed out", "This browser has no session at the emulator any more.", 200);
      return { ...page, headers: { ...page.headers, ...clear } };
    }
    if (applications.list().some(({ logoutUrls }) => allowsUrl(logoutUrls, target)))
      return redirect(callbackUrl(target, { state: context.req.query("state") }), clear);
    const page = messagePage(
      "You are signed out",
      `"${target}" is not an allowed logout URL of any application, so this page does not send you there.`,
      400,
    );
    return { ...page, headers: { ...page.headers, ...clear } };
  };

  const portal = (context: EmulatorContext): Reply => {
    const back = context.req.query("return_url");
    const isAllowed = back !== undefined && applications.list().some(({ logoutUrls }) => allowsUrl(logoutUrls, back));
    const text = "Kinde shows users their profile, plan and organization here. The emulator has no such page.";
    return messagePage("Self-serve portal", text, 200, isAllowed ? { url: back, label: "Back to the app" } : undefined);
  };

  const invite = (context: EmulatorContext): Reply => {
    const code = context.req.query("code") ?? "";
    const invitation = world.catalogue.invitations.get(code);
    const organization = world.catalogue.organizations.get(invitation?.organization ?? "");
    if (!invitation || !organization || !isPending(invitation))
      return messagePage("This invitation is not valid", "It is unknown, revoked or already accepted.", 404);
    const text =
      `This invitation is for ${invitation.email}. Kinde opens your app now; here you open it yourself. ` +
      `Add ?invitation_code=${code} to its address, or to that of its sign-in route.`;
    return messagePage(`You are invited to ${organization.name}`, text, 200);
  };

  app.get("/team_invitation", pipeline({ method: "GET", route: "/team_invitation", handle: invite }));
  app.get("/oauth2/auth", pipeline({ method: "GET", route: "/oauth2/auth", handle: open }));
  app.post("/oauth2/auth", pipeline({ method: "POST", route: "/oauth2/auth", handle: submit }));
  app.get("/logout", pipeline({ method: "GET", route: "/logout", handle: signOut }));
  app.get("/portal", pipeline({ method: "GET", route: "/portal", handle: portal }));
}

/** Whether a session answers this request without a page. */
function resumes({ prompt, signUp, loginHint, newOrganization }: SignInRequest, user: UserState | undefined): boolean {
  if (!user || prompt === "login" || signUp || newOrganization !== undefined) return false;
  if (loginHint === undefined) return true;
  return user.id === loginHint || user.identities.some(({ identity }) => identity === loginHint);
}

interface FormValues {
  email: string;
  firstName: string;
  lastName: string;
}

function invalid({ email, firstName, lastName }: FormValues): string | undefined {
  if (email !== "" && (email.length > 254 || !/^[^\s@]+@[^\s@]+$/.test(email))) return "This is not an email address.";
  if (firstName.length > 100 || lastName.length > 100) return "A name has at most 100 characters.";
  return undefined;
}

/** Leaves empty fields to the emulator, which generates them. */
const signUpOf = ({ email, firstName, lastName }: FormValues) => ({
  ...(email !== "" && { email }),
  ...(firstName !== "" && { firstName }),
  ...(lastName !== "" && { lastName }),
});
