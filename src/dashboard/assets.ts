import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Hono } from "hono";

/** Files that pages load. Nothing comes from another server, and nothing is built. */
export interface Assets {
  routes: Hono;
  /** Returns the URL of a file, which changes with its content. */
  url(name: AssetName): string;
}

const require = createRequire(import.meta.url);
const own = (name: string) => new URL(`./assets/${name}`, import.meta.url);

const files = {
  "dashboard.css": { path: () => own("dashboard.css"), type: "text/css" },
  "dashboard.js": { path: () => own("dashboard.js"), type: "text/javascript" },
  "icon.svg": { path: () => own("icon.svg"), type: "image/svg+xml" },
  "htmx.js": { path: () => require.resolve("htmx.org/dist/htmx.min.js"), type: "text/javascript" },
  "hx-sse.js": { path: () => require.resolve("htmx.org/dist/ext/hx-sse.min.js"), type: "text/javascript" },
  "uplot.js": { path: () => require.resolve("uplot/dist/uPlot.iife.min.js"), type: "text/javascript" },
  "uplot.css": { path: () => require.resolve("uplot/dist/uPlot.min.css"), type: "text/css" },
} as const;
export type AssetName = keyof typeof files;

/** Reads the files and serves them below `/assets`. */
export function createAssets(): Assets {
  const loaded = new Map(
    Object.entries(files).map(([name, { path, type }]) => {
      const content = readFileSync(path());
      const digest = createHash("sha256").update(content).digest("hex").slice(0, 12);
      return [`/assets/${digest}/${name}`, { name, type, content: new Uint8Array(content) }];
    }),
  );
  const urls = new Map([...loaded].map(([url, { name }]) => [name, url]));
  const routes = new Hono().get("/assets/:digest/:name", (context) => {
    const file = loaded.get(context.req.path);
    if (file === undefined) return context.notFound();
    return context.body(file.content, 200, {
      "content-type": `${file.type}; charset=utf-8`,
      "cache-control": "public, max-age=31536000, immutable",
    });
  });
  return { routes, url: (name) => urls.get(name) ?? "" };
}
