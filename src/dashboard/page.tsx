import type { Context } from "hono";
import { raw } from "hono/html";
import type { Child } from "hono/jsx";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Assets } from "./assets.ts";
import type { Session } from "./sessions.ts";

/** Variables of a request that is signed in. */
export interface SessionVariables {
  session: Session;
}
export type DashboardContext = Context<{ Variables: SessionVariables }>;

/** What a page is, besides its content. */
export interface PageOptions {
  title: string;
  /** Default: 200. */
  status?: ContentfulStatusCode;
  /** Whether it has charts. Default: no. */
  charts?: boolean;
}

/** Renders a page in the frame that all of them share. */
export type RenderPage = (context: Context, options: PageOptions, content: Child) => Response | Promise<Response>;

const doctype = raw("<!doctype html>");

const sections = [
  { path: "/", title: "Now" },
  { path: "/users", title: "Users" },
  { path: "/failed", title: "Failed" },
  { path: "/sweeps", title: "Sweeps" },
  { path: "/webhooks", title: "Webhooks" },
  { path: "/queues/", title: "Queues" },
  { path: "/actions", title: "Actions" },
] as const;

// Nothing inline, no style sheet of its own, requests to this server only.
const htmxConfig = JSON.stringify({ includeIndicatorCSS: false, mode: "same-origin", history: false });

/** Creates the renderer of pages. */
export function createPages({ url }: Assets): RenderPage {
  return (context, { title, status = 200, charts = false }, content) => {
    const session: Session | undefined = context.get("session");
    context.header("cache-control", "no-store");
    return context.html(
      <>
        {doctype}
        <html lang="en">
          <head>
            <meta charset="utf-8" />
            <meta name="viewport" content="width=device-width, initial-scale=1" />
            <meta name="color-scheme" content="light dark" />
            <meta name="robots" content="noindex" />
            <meta name="htmx-config" content={htmxConfig} />
            <title>{`${title} · Kindling`}</title>
            <link rel="icon" type="image/svg+xml" href={url("icon.svg")} />
            {charts && <link rel="stylesheet" href={url("uplot.css")} />}
            <link rel="stylesheet" href={url("dashboard.css")} />
            <script src={url("htmx.js")} defer />
            <script src={url("hx-sse.js")} defer />
            {charts && <script src={url("uplot.js")} defer />}
            <script src={url("dashboard.js")} defer />
          </head>
          <body>
            <a class="skip" href="#content">
              Skip to the content
            </a>
            <header>
              <div class="bar">
                <a class="brand" href="/">
                  <img src={url("icon.svg")} alt="" width="22" height="22" />
                  Kindling
                </a>
                {session !== undefined && <Navigation path={context.req.path} />}
                {session !== undefined && <Account session={session} />}
              </div>
            </header>
            <main id="content" tabindex={-1}>
              {content}
            </main>
          </body>
        </html>
      </>,
      status,
    );
  };
}

const Navigation = ({ path }: { path: string }) => (
  <nav aria-label="Sections">
    <ul>
      {sections.map((section) => (
        <li>
          <a href={section.path} aria-current={isWithin(path, section.path) ? "page" : undefined}>
            {section.title}
          </a>
        </li>
      ))}
    </ul>
  </nav>
);

function isWithin(path: string, section: string): boolean {
  return section === "/" ? path === "/" : path.startsWith(section);
}

const Account = ({ session: { name, role } }: { session: Session }) => (
  <form class="account" method="post" action="/sign-out">
    <span>
      <bdi>{name}</bdi>
      {role === "view" && <span class="tag">read only</span>}
    </span>
    <button type="submit" class="quiet">
      Sign out
    </button>
  </form>
);
