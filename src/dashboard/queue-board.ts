import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { HonoAdapter } from "@bull-board/hono";
import { serveStatic } from "@hono/node-server/serve-static";
import { Hono } from "hono";
import type { Role } from "../setting-values.ts";
import type { Queues } from "../store.ts";
import type { PageDeps } from "./options.ts";
import type { SessionVariables } from "./page.tsx";
import { RequestError } from "./problems.ts";

const basePath = "/queues";

/**
 * What operators can do to queues: all of it harmless, because the ledger enqueues again what is lost. Adding and editing
 * jobs, and removing schedules, would bypass the rules of the flows that own them.
 */
const changes =
  /^\/queues\/api\/queues\/(pause|resume|[\w-]+\/(pause|resume|promote|retry\/failed|clean\/(failed|completed)|(?<job>[^/]+)\/(retry|promote|clean)))$/;

/** Creates bull-board below `/queues`. Its changes need the role of an operator, and are noted. */
export function queueBoard({ store, act }: PageDeps): Hono<{ Variables: SessionVariables }> {
  const boards = { view: createBoard(store.queues, "view"), operate: createBoard(store.queues, "operate") };
  const app = new Hono<{ Variables: SessionVariables }>();

  app.get(basePath, (context) => context.redirect(`${basePath}/`, 301));

  app.use(`${basePath}/*`, async (context, next) => {
    const { path, method } = context.req;
    if (method === "GET" || method === "HEAD") return next();
    const change = method === "PUT" ? changes.exec(path) : null;
    if (change === null) {
      throw new RequestError(403, "The dashboard does not allow this change of a queue.");
    }
    const [, queue = "", ...rest] = path.slice(`${basePath}/api`.length + 1).split("/");
    const noted = {
      action: `queue ${rest.join(" ") || queue}`,
      ...(change.groups?.job !== undefined && { failed: `queue ${rest.at(-1)}` }),
      subject: rest.length > 0 ? queue : "all",
    };
    return act(context, noted, async () => {
      await next();
      const { status } = context.res;
      if (status === 404) throw new RequestError(404, "There is no such queue or job: nothing was changed.");
      if (status >= 400) throw new Error(`bull-board answered ${status}: the queue was not changed.`);
    });
  });

  app.all(`${basePath}/*`, async (context) => {
    const answer = await boards[context.var.session.role].fetch(context.req.raw, context.env);
    const isPage = answer.headers.get("content-type")?.startsWith("text/html") === true;
    return isPage ? context.html(withoutInline(await answer.text())) : answer;
  });

  return app;
}

function createBoard({ pushes, ...queues }: Queues, role: Role): Hono {
  const { refresh, bulk, requests, confirm, fanout, sweep, audit } = queues;
  const all = [refresh, bulk, requests, confirm, fanout, sweep, audit, ...pushes.map(({ queue }) => queue)];
  const serverAdapter = new HonoAdapter(serveStatic);
  createBullBoard({
    queues: all.map((queue) => new BullMQAdapter(queue, { readOnlyMode: role === "view" })),
    serverAdapter,
    options: {
      uiConfig: {
        boardTitle: "Kindling: queues",
        hideRedisDetails: true,
        hideDocsLink: true,
        // Reading them takes a CLIENT LIST for each queue every few seconds.
        showWorkers: false,
        miscLinks: [{ text: "Back to Kindling", url: "/" }],
      },
    },
  });
  serverAdapter.setBasePath(basePath);
  return new Hono({ strict: false }).route(basePath, serverAdapter.registerPlugin());
}

/** Removes the fonts of another server and what is inline: the policy of the page forbids both. */
function withoutInline(html: string): string {
  return html
    .replace(/<link href="https:\/\/[^>]*>/g, "")
    .replace(/<style>[\s\S]*?<\/style>/g, "")
    .replace(/ style="[^"]*"/g, "");
}
