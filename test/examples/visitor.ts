import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";

/** What a page tells its reader: heading, plan, and the links of its navigation. */
export interface Told {
  heading: string;
  plan?: string;
  links?: string[];
}

/** A document that a visitor received, as the server sent it. */
export interface ReceivedDocument extends Told {
  path: string;
  status: number;
}

/** Somebody with a browser of their own. */
export interface Visitor {
  readonly page: Page;
  /** Opens a path and returns the document that answered in the end. */
  open(path: string): Promise<ReceivedDocument>;
  /** Does something that loads a page, and returns the document that answered in the end. */
  arrive(action: () => Promise<unknown>): Promise<ReceivedDocument>;
  /** Resolves once the page that the action loads is hydrated and its stream has delivered: it cannot flicker any more. */
  settled<T>(action: () => Promise<T>): Promise<T>;
  /** Everything that the open page has shown since it was loaded, in order and without repetition. */
  shown(): Promise<Told[]>;
  /** Errors in the page's console. */
  readonly problems: readonly string[];
  close(): Promise<void>;
}

/** Opens a browser window of its own, with its own cookies. */
export async function createVisitor(browser: Browser, site: string): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width: 1080, height: 700 } });
  await context.addInitScript({ path: fileURLToPath(new URL("record-page.js", import.meta.url)) });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));

  const arrive = async (action: () => Promise<unknown>): Promise<ReceivedDocument> => {
    const [response] = await Promise.all([
      page.waitForResponse((one) => one.request().isNavigationRequest() && ![302, 303].includes(one.status())),
      action(),
    ]);
    const html = await response.text();
    await page.waitForLoadState("load");
    const told = await page.evaluate<Told>(`tellHtml(${JSON.stringify(html)})`);
    return { path: new URL(response.url()).pathname, status: response.status(), ...told };
  };
  return {
    page,
    arrive,
    open: (path) => arrive(() => page.goto(new URL(path, site).href)),
    async settled(action) {
      const [result] = await Promise.all([action(), page.waitForResponse(/__data\.json/)]);
      return result;
    },
    shown: () => page.evaluate<Told[]>("shown"),
    problems,
    close: () => context.close(),
  };
}

const pictures = fileURLToPath(new URL("../../docs/public/examples/", import.meta.url));

/** Takes pictures for the documentation, light and dark, if `KINDLING_TEST_SCREENSHOTS` is set. pngquant makes them smaller. */
export async function screenshot(page: Page, name: string): Promise<void> {
  if (!process.env.KINDLING_TEST_SCREENSHOTS) return;
  mkdirSync(pictures, { recursive: true });
  for (const colorScheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme });
    const path = join(pictures, `${name}-${colorScheme}.png`);
    await page.screenshot({ path });
    spawnSync("pngquant", ["--force", "--ext", ".png", "--strip", path]);
  }
}
