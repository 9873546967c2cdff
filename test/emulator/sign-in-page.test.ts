import { createServer } from "node:http";
import axe, { type AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { describeInChromium } from "../support/chromium.ts";
import { useCleanup, useEmulator } from "./support.ts";

const start = useEmulator();
const cleanup = useCleanup();

describeInChromium("the sign-in page", (browser) => {
  /** Opens the page for an app that shows the callback's parameters. */
  async function open(options: { users?: number; params?: Record<string, string>; dark?: boolean } = {}) {
    const emulator = await start({ users: options.users ?? 40 });
    const app = createServer((request, response) => {
      response.setHeader("content-type", "text/plain");
      response.end(`Callback ${request.url}`);
    });
    await new Promise<void>((resolve) => app.listen(0, "localhost", resolve));
    const address = app.address();
    const redirect_uri = `http://localhost:${typeof address === "object" && address ? address.port : 0}/callback`;
    const context = await browser().newContext({ colorScheme: options.dark ? "dark" : "light" });
    cleanup(async () => {
      await context.close();
      app.closeAllConnections();
      await new Promise((resolve) => app.close(resolve));
    });
    const page = await context.newPage();
    const problems: string[] = [];
    const requested = new Set<string>();
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("request", (request) => requested.add(new URL(request.url()).origin));
    const url = new URL("/oauth2/auth", emulator.url);
    url.search = new URLSearchParams({
      client_id: emulator.applications.list()[0]?.clientId ?? "",
      redirect_uri,
      response_type: "code",
      scope: "openid",
      state: "some-state",
      ...options.params,
    }).toString();
    await page.goto(url.href);
    return { emulator, page, problems, requested, redirect_uri };
  }
  const press = async (page: Page, ...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focused = (page: Page) => page.locator(":focus").first();

  it("signs in with the keyboard alone: type, arrow down, Enter", async () => {
    const { emulator, page, problems, requested, redirect_uri } = await open();
    const name = await page.locator(".user .name").nth(2).textContent();
    const wanted = await page.locator(".user").nth(2).getAttribute("value");
    await page.keyboard.type(String(name).toLowerCase());
    await press(page, "ArrowDown");
    expect(await focused(page).getAttribute("value")).toBe(wanted);
    await press(page, "ArrowUp");
    expect(await focused(page).getAttribute("type")).toBe("search");
    await press(page, "ArrowDown", "Enter");
    await page.waitForURL(`${redirect_uri}?code=*`);
    expect(emulator.kinde.user(String(wanted))?.lastSignedIn).not.toBeNull();
    expect(problems).toEqual([]);
    expect([...requested].sort()).toEqual([emulator.url, new URL(redirect_uri).origin].sort());
  });

  it("searches all users, and focuses the search with a slash", async () => {
    const { emulator, page, redirect_uri } = await open({ users: 500 });
    const last = emulator.kinde.user([...emulator.kinde.userIds()].at(-1) ?? "");
    await page.keyboard.type(last?.email ?? "");
    expect(await page.locator(".user:visible").count()).toBe(0);
    await press(page, "Enter");
    await page.waitForURL(/emulator_query/);
    expect(await page.locator(".user").first().getAttribute("value")).toBe(last?.id);
    await press(page, "ArrowDown", "/");
    expect(await focused(page).getAttribute("type")).toBe("search");
    await press(page, "ArrowDown", "Enter");
    await page.waitForURL(`${redirect_uri}?code=*`);
  });

  it("creates a user, and lists them first at the next sign-in", async () => {
    const { emulator, page, redirect_uri } = await open();
    const signInUrl = page.url();
    await page.getByRole("link", { name: "Create a user" }).press("Enter");
    await page.getByLabel("Email").waitFor();
    expect(await focused(page).getAttribute("name")).toBe("email");
    await page.keyboard.type("grace@example.com");
    await press(page, "Tab");
    await page.keyboard.type("Grace");
    await press(page, "Tab");
    await page.keyboard.type("Hopper");
    await press(page, "Enter");
    await page.waitForURL(`${redirect_uri}?code=*`);
    await page.goto(`${signInUrl}&prompt=login`);
    expect(await page.locator(".user").first().textContent()).toContain("grace@example.com");
    expect(emulator.kinde.userCount).toBe(41);
  });

  it("explains why a suspended user is refused, and can be canceled", async () => {
    const { emulator, page, redirect_uri } = await open({ users: 3 });
    const [id = ""] = emulator.kinde.userIds();
    emulator.kinde.suspendUser(id);
    await page.reload();
    await page.locator(`.user[value="${id}"]`).click();
    expect(await page.getByRole("alert").textContent()).toContain("suspended");
    await page.getByRole("link", { name: "Cancel" }).click();
    await page.waitForURL(`${redirect_uri}?error=access_denied*`);
  });

  it("does not sign in as the first user when Enter names a new organization", async () => {
    const { emulator, page } = await open({ params: { is_create_org: "true", org_name: "Acme" } });
    const before = emulator.kinde.organizations().length;
    await page.getByLabel("Name of the new organization").press("Enter");
    expect(page.url()).toContain(emulator.url);
    expect(emulator.kinde.organizations()).toHaveLength(before);
  });

  it.each([
    { view: "choosing a user in the dark", dark: true, params: {} },
    { view: "creating a user", dark: false, params: { prompt: "create" } },
  ])("gives axe no reason to complain: $view", async ({ dark, params }) => {
    const { emulator, page } = await open({ users: 3, dark, params });
    emulator.kinde.suspendUser([...emulator.kinde.userIds()][0] ?? "");
    await page.reload();
    await page.evaluate(axe.source);
    const { violations, passes } = await page.evaluate<AxeResults>("axe.run()");
    expect(violations.map(({ id, nodes }) => ({ id, html: nodes.map(({ html }) => html) }))).toEqual([]);
    expect(passes.length).toBeGreaterThan(10);
  });

  it("has a name for every control, in the order of the Tab key, and follows the dark color scheme", async () => {
    const { page } = await open({ users: 2, dark: true });
    const order = [await focused(page).getAttribute("id")];
    for (let stop = 0; stop < 4; stop += 1) {
      await press(page, "Tab");
      order.push((await focused(page).getAttribute("class")) ?? (await focused(page).textContent()));
    }
    expect(order).toEqual(["query", "user", "user", "Create a user", "Cancel"]);
    expect(await page.getByRole("searchbox", { name: "Search users" }).count()).toBe(1);
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toContain("Sign in to");
    expect(await page.locator("html").getAttribute("lang")).toBe("en");
    const luminance = async (part: string, property: string) => {
      const color = await page.evaluate<string>(`getComputedStyle(document.querySelector("${part}")).${property}`);
      const [r = 0, g = 0, b = 0] = color.match(/\d+/g)?.map(Number) ?? [];
      return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
    };
    expect(await luminance("main", "backgroundColor")).toBeLessThan(0.2);
    expect(await luminance("h1", "color")).toBeGreaterThan(0.8);
  });
});
