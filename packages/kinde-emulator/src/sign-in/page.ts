import { createHash } from "node:crypto";
import { html, raw } from "hono/html";
import type { Reply } from "../http/reply.ts";
import { fullName } from "../kinde/truth.ts";
import { mix } from "../state/random.ts";
import type { UserState } from "../state/user-state.ts";
import { SCRIPT, STYLE } from "./assets.ts";
import { errorRedirect, type SignInRequest } from "./request.ts";

type Content = ReturnType<typeof html>;

/** Parameters of the page itself, beside those of the sign-in request. */
export const PAGE_PARAMETERS = { query: "emulator_query", view: "emulator_view" } as const;

export interface ChoicePage {
  request: SignInRequest;
  /** The parameters of the sign-in request. */
  params: URLSearchParams;
  query: string;
  recent: readonly UserState[];
  users: readonly UserState[];
  more: boolean;
  userCount: number;
  organizationName: (code: string) => string | undefined;
  /** Why the last attempt was refused. */
  problem?: string | undefined;
}

/**
 * Renders the page on which to choose or search a user. The disabled button is the form's default one: Enter in the
 * organization's name must not sign in as the first user.
 */
export function choicePage(page: ChoicePage): Reply {
  const { request, params, query, recent, users, more, userCount, problem } = page;
  const hidden = [...params].map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`);
  const list = (title: string, members: readonly UserState[]) =>
    members.length === 0
      ? ""
      : html`<div data-group><h2>${title}</h2><ul>${members.map((user) => userItem(page, user))}</ul></div>`;
  const found = query === "" ? "Users" : `Results for “${query}”`;
  const nobody = users.length === 0 && recent.length === 0;
  return pageReply(
    `Sign in to ${request.application.name}`,
    problem === undefined ? 200 : 403,
    html`
      <p class="badge">Kinde emulator</p>
      <h1>Sign in to ${request.application.name}</h1>
      <p>${contextOf(page)}</p>
      ${alertOf(problem)}
      <form method="get" action="/oauth2/auth" role="search">
        ${hidden}
        <label for="query">Search users</label>
        <input id="query" type="search" name="${PAGE_PARAMETERS.query}" value="${query}" autofocus autocomplete="off"
          spellcheck="false" placeholder="Name, email or id">
        <button class="unseen" tabindex="-1">Search</button>
      </form>
      <form method="post" action="/oauth2/auth?${params.toString()}">
        <button class="unseen" disabled aria-hidden="true"></button>
        ${organizationField(request)}
        ${list("Recent", recent)}
        ${list(recent.length > 0 || query !== "" ? found : "Choose a user", users)}
      </form>
      <p class="status" role="status">${statusOf(nobody, more, userCount, query)}</p>
      ${more || query !== "" ? html`<p class="status" data-hint hidden>Press <kbd>Enter</kbd> to search all ${count(userCount)}.</p>` : ""}
      ${navigation(request, link(params, "create"), "Create a user")}
    `,
  );
}

/** Renders the page on which to create a user. */
export function createPage({
  request,
  params,
  values = {},
  problem,
}: {
  request: SignInRequest;
  params: URLSearchParams;
  values?: { email?: string; firstName?: string; lastName?: string };
  problem?: string | undefined;
}): Reply {
  const { invitation } = request;
  const {
    email = request.loginHint?.includes("@") ? request.loginHint : "",
    firstName = invitation?.firstName ?? "",
    lastName = invitation?.lastName ?? "",
  } = values;
  return pageReply(
    `Create a user for ${request.application.name}`,
    problem === undefined ? 200 : 400,
    html`
      <p class="badge">Kinde emulator</p>
      <h1>Sign up to ${request.application.name}</h1>
      <p>${invitation ? "You are invited. Your account has the address of the invitation." : "Creates a user and signs in."}
        Empty fields are filled with generated values.</p>
      ${alertOf(problem)}
      <form method="post" action="/oauth2/auth?${params.toString()}">
        <input type="hidden" name="create" value="1">
        <label for="email">Email</label>
        <input id="email" name="email" type="email" value="${email}" maxlength="254" autocomplete="off"
          ${invitation ? "readonly" : "autofocus"}>
        <div class="pair">
          <div><label for="first">First name</label>
            <input id="first" name="first_name" value="${firstName}" maxlength="100" autocomplete="off"
              ${invitation ? "autofocus" : ""}></div>
          <div><label for="last">Last name</label>
            <input id="last" name="last_name" value="${lastName}" maxlength="100" autocomplete="off"></div>
        </div>
        ${organizationField(request)}
        <button class="primary">Create user and sign in</button>
      </form>
      ${navigation(request, link(params, "choose"), "Choose an existing user")}
    `,
  );
}

/** Renders a page with a message only. */
export const messagePage = (
  title: string,
  text: string,
  status: number,
  onward?: { url: string; label: string },
): Reply =>
  pageReply(
    title,
    status,
    html`
      <p class="badge">Kinde emulator</p>
      <h1>${title}</h1>
      <p>${text}</p>
      ${onward ? html`<nav><a href="${onward.url}">${onward.label}</a></nav>` : ""}
    `,
  );

function userItem({ organizationName }: ChoicePage, user: UserState): Content {
  const name = fullName(user) || user.username || user.email || user.id;
  const initials = [user.firstName, user.lastName].map((part) => part?.[0] ?? "").join("") || name.slice(0, 1);
  const organizations = user.memberships.flatMap(({ code }) => organizationName(code) ?? []);
  const tag = user.isSuspended
    ? html`<span class="tag suspended">Suspended</span>`
    : html`<span class="tag">${user.properties.plan_tier ?? ""}</span>`;
  return html`
    <li><button class="user" name="user" value="${user.id}">
      <span class="avatar hue-${mix(user.id.length + Number.parseInt(user.id.slice(3, 10), 16) || 0) % 8}"
        aria-hidden="true">${initials.toUpperCase()}</span>
      <span class="who"><span class="name">${name}</span>
        <span class="mail">${[user.email, ...organizations].filter(Boolean).join(" · ")}</span></span>
      ${tag}
    </button></li>`;
}

function contextOf({ request, organizationName }: ChoicePage): string {
  if (request.newOrganization !== undefined) return "Choose who creates the organization. No password needed.";
  if (request.orgCode === undefined) return "Choose who you want to be. No password needed.";
  return `Choose a member of ${organizationName(request.orgCode) ?? request.orgCode}. No password needed.`;
}

const organizationField = ({ newOrganization }: SignInRequest): Content | string =>
  newOrganization === undefined
    ? ""
    : html`<label for="organization">Name of the new organization</label>
        <input id="organization" name="organization" value="${newOrganization}" maxlength="100" autocomplete="off">`;

const alertOf = (problem: string | undefined): Content | string =>
  problem === undefined ? "" : html`<p class="alert" role="alert">${problem}</p>`;

function statusOf(nobody: boolean, more: boolean, userCount: number, query: string): string {
  if (userCount === 0) return "There are no users yet. Create one.";
  if (nobody)
    return query === "" ? "No users to show." : "No user matches. Search for something else, or create a user.";
  return more ? `${count(userCount)} in total. Search to find the others.` : "";
}

const count = (users: number) => `${users.toLocaleString("en-US")} ${users === 1 ? "user" : "users"}`;

function link(params: URLSearchParams, view: "create" | "choose"): string {
  const own = new URLSearchParams(params);
  own.set(PAGE_PARAMETERS.view, view);
  return `/oauth2/auth?${own}`;
}

const navigation = (request: SignInRequest, url: string, label: string): Content => html`
  <nav>
    <a href="${url}">${label}</a>
    <a href="${errorRedirect(request, "access_denied", "The user canceled the sign-in.")}">Cancel</a>
  </nav>`;

function pageReply(title: string, status: number, content: Content): Reply {
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Kinde emulator</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<main>${content}</main>
<script>${raw(SCRIPT)}</script>
</body>
</html>
`;
  const policy = [
    "default-src 'none'",
    `style-src '${hashOf(STYLE)}'`,
    `script-src '${hashOf(SCRIPT)}'`,
    // No form-action: browsers apply it to every redirect after the form, and an app can redirect where it likes.
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ];
  return {
    status,
    body: String(document),
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy.join("; "),
      "cache-control": "no-store",
      "referrer-policy": "same-origin",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
    },
  };
}

const hashOf = (text: string) => `sha256-${createHash("sha256").update(text).digest("base64")}`;
