import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { describeInChromium } from "../support/chromium.ts";
import { until } from "../support/until.ts";
import { type Board, operatorToken, startBoard } from "./support.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const application = { clientId: "operators", clientSecret: "s".repeat(40) };

describeInChromium("the dashboard", (browser) => {
  let board: Board;
  let redis: EmbeddedRedis;
  let context: BrowserContext;
  let page: Page;
  let userId: string;
  const problems: string[] = [];

  beforeAll(async () => {
    redis = await startEmbeddedRedis({ durable: true });
    board = await startBoard({
      redisUrl: redis.url,
      emulator: { users: 3, application },
      env: {
        KINDLING_REDIS_TIMEOUT: "500ms",
        KINDLING_DASHBOARD_CLIENT_ID: application.clientId,
        KINDLING_DASHBOARD_CLIENT_SECRET: application.clientSecret,
      },
    });
    [userId = ""] = board.emulator.kinde.userIds();
    context = await browser().newContext({ colorScheme: "light" });
    page = await watched(context);
    await page.goto(`${board.url}/`);
    await page.getByLabel("Operator token").fill(operatorToken);
    await page.keyboard.press("Enter");
    await page.waitForURL(`${board.url}/`);
  }, 60_000);
  afterAll(async () => {
    await context?.close();
    await board?.close();
    await redis?.close();
  });

  /** Opens a page that notes errors, violations of the policy and requests to other servers. */
  async function watched(within: BrowserContext): Promise<Page> {
    const opened = await within.newPage();
    opened.on("console", (message) => {
      // An answer of 503 while Redis is away is no mistake of the page.
      if (message.type() === "error" && !message.text().includes("Failed to load resource"))
        problems.push(message.text());
    });
    opened.on("pageerror", (error) => problems.push(String(error)));
    opened.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol !== "data:" && ![board.url, board.emulator.url].includes(origin)) problems.push(request.url());
    });
    return opened;
  }

  const violations = async () => {
    await page.evaluate(axe);
    const { violations: found } = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>(
      "axe.run(document)",
    );
    return found.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
  };

  it("has pages without accessibility violations, light and dark, and nothing that its policy forbids", async () => {
    await board.store.ledger.fail("kp_fails", { code: "x", message: "m", failedAt: 0, attempts: 1, final: true });
    const paths = [
      "/",
      `/users/${userId}?live=1`,
      `/users/${userId}/set`,
      "/failed",
      "/sweeps",
      "/webhooks",
      "/actions",
    ];
    // Both schemes use the same colors on every page: three have them all.
    for (const [colorScheme, shown] of [
      ["light", paths],
      ["dark", ["/", `/users/${userId}?live=1`, "/failed"]],
    ] as const) {
      await page.emulateMedia({ colorScheme });
      for (const path of shown) {
        await page.goto(board.url + path);
        expect(await violations(), `${path} ${colorScheme}`).toEqual([]);
      }
    }
    const { width = 0, height = 0 } = page.viewportSize() ?? {};
    await page.setViewportSize({ width: 360, height });
    for (const path of paths) {
      await page.goto(board.url + path);
      expect(await page.evaluate("document.documentElement.scrollWidth"), `${path} on a phone`).toBe(360);
    }
    await page.setViewportSize({ width, height });
    await board.store.ledger.discard("kp_fails");
    expect(problems).toEqual([]);
  });

  it("retries and discards what failed, sweeps, and registers and replaces the webhook", async () => {
    const { ledger, sweeps } = board.store;
    const failure = { code: "kinde_forbidden", message: "m", failedAt: 0, attempts: 1, final: true };
    const gone = "kp_00000000000000000000000000000000";
    await ledger.fail(userId, failure);
    await ledger.fail(gone, failure);
    const press = async (row: string, name: string) => {
      await page
        .getByRole("row")
        .filter({ hasText: row })
        .getByRole("button", { name: `${name}…` })
        .click();
      await page
        .getByRole("dialog", { name: `${name} ${row}?` })
        .getByRole("button", { name })
        .click();
    };
    await page.goto(`${board.url}/`);
    await page.getByText("2 refreshes failed after all attempts").waitFor();
    await page.goto(`${board.url}/failed`);
    await press(gone, "Discard");
    await page.getByText("Discarded: 1").waitFor();
    await page.getByRole("button", { name: "Undo: refresh the user after all" }).waitFor();
    await press(userId, "Retry");
    await page.getByText("Queued: 1").waitFor();
    await until(async () => expect(await ledger.failures()).toEqual([]));
    await page.goto(`${board.url}/failed`);
    await page.getByText("Nothing has failed").waitFor();

    await page.goto(`${board.url}/sweeps`);
    await page.getByRole("button", { name: "Sweep now…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Sweep now" }).click();
    await page.getByText("A sweep is under way").waitFor();
    await until(async () => expect(await sweeps.last()).toMatchObject({ users: 3 }));

    await page.goto(`${board.url}/webhooks`);
    const register = async (...boxes: string[]) => {
      await page.getByLabel("URL of the webhook endpoint").fill(board.webhookUrl);
      for (const box of boxes) await page.getByLabel(box).check();
      await page.getByRole("button", { name: "Register" }).click();
    };
    await register("Yes, change Kinde's webhooks");
    await page.getByText("Webhook created").waitFor();
    const [first] = board.emulator.webhooks.list();
    await register("Replace it", "Yes, change Kinde's webhooks");
    await page.getByText("Webhook replaced").waitFor();
    const [second, ...others] = board.emulator.webhooks.list();
    expect([second?.endpoint, others]).toEqual([board.webhookUrl, []]);
    expect(second?.id).not.toBe(first?.id);
    expect(problems).toEqual([]);
  });

  it("pauses and resumes a queue on bull-board's page, and warns while it is paused", async () => {
    const { bulk } = board.store.queues;
    const choose = async (entry: string) => {
      await page.goto(`${board.url}/queues/queue/bulk`);
      await page.locator("[aria-haspopup=menu]:has(.lucide-ellipsis-vertical)").click();
      await page.getByRole("menuitem", { name: entry }).click();
      await page.getByRole("button", { name: "Confirm" }).click();
    };
    await choose("Pause");
    await until(async () => expect(await bulk.isPaused()).toBe(true));
    await page.goto(`${board.url}/`);
    await page.getByText("The queue bulk is paused").waitFor();
    await choose("Resume");
    await until(async () => expect(await bulk.isPaused()).toBe(false));
    expect(problems).toEqual([]);
  });

  it("asks before an action, at the harmless answer, and shows what came of it", async () => {
    await page.goto(`${board.url}/users/${userId}`);
    await page.getByRole("button", { name: "Refresh…" }).press("Enter");
    const dialog = page.getByRole("dialog", { name: "Refresh this user?" });
    await dialog.waitFor();
    expect(await page.locator(":focus").textContent()).toContain("Cancel");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Refresh…" }).click();
    await dialog.getByRole("button", { name: "Refresh" }).click();
    await page.getByText("Refreshed: committed").waitFor();
  });

  it("finds a user by email address, sets a property and undoes it", async () => {
    const { kinde } = board.emulator;
    kinde.setProperties(userId, { plan_tier: "pro" });
    await page.goto(`${board.url}/users`);
    await page.getByLabel("User id or email address").fill(String(kinde.user(userId)?.email));
    await page.keyboard.press("Enter");
    await page.waitForURL(`${board.url}/users/${userId}`);
    await page.getByRole("link", { name: "Set a property…" }).click();
    await page.getByLabel("Property").fill("plan_tier");
    await page.getByLabel("Value", { exact: true }).fill("gold");
    await page.getByRole("button", { name: "Review" }).click();
    await page.getByText("will have its default").waitFor();
    await page.getByRole("button", { name: "Set in Kinde" }).click();
    await page.getByRole("button", { name: /Undo: set it back/ }).waitFor();
    expect(kinde.user(userId)?.properties.plan_tier).toBe("gold");
    await page.getByRole("button", { name: /Undo: set it back/ }).click();
    await until(() => expect(kinde.user(userId)?.properties.plan_tier).toBe("pro"));
    kinde.setProperties(userId, { plan_tier: "enterprise" });
    await page.getByRole("link", { name: "Compare with Kinde" }).click();
    await page.getByText("differs from Kinde").waitFor();
    expect(page.url()).not.toContain("live");
  });

  it("stays open through an outage of Redis, says so, and goes on by itself", async () => {
    await page.goto(`${board.url}/`);
    await page.getByText("live", { exact: true }).waitFor();
    await redis.kill();
    await page.getByText("Redis does not answer").waitFor();
    await redis.start();
    await page.getByText("Time to readable").first().waitFor();
    await page.getByText("Redis does not answer").waitFor({ state: "hidden" });
  });

  it("signs in users of Kinde who hold a permission, and no others", async () => {
    const { kinde } = board.emulator;
    board.emulator.signInAs(userId);
    const other = await browser().newContext();
    const visitor = await watched(other);
    const attempt = async () => {
      await visitor.goto(`${board.url}/sign-in`);
      await visitor.getByRole("link", { name: "Sign in with Kinde" }).click();
    };
    await attempt();
    await visitor.getByText("has neither the permission").waitFor();
    // The token names the user's first organization.
    const [code = kinde.createOrganization().code] = kinde.user(userId)?.organizations.map((one) => one.code) ?? [];
    kinde.createPermission("kindling:view");
    kinde.addToOrganization(userId, code);
    kinde.setPermissions(userId, code, ["kindling:view"]);
    await attempt();
    await visitor.getByRole("heading", { name: "Now" }).waitFor();
    expect(await visitor.getByText("read only").count()).toBe(1);
    expect(problems).toEqual([]);
    await other.close();
  });
});
