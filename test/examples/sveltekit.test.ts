import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { installClient } from "../../examples/install-client.ts";
import { type RunningExample, startExample } from "../../examples/start-example.ts";
import { describeInChromium } from "../support/chromium.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { until } from "../support/until.ts";
import { createVisitor, screenshot, type Visitor } from "./visitor.ts";

it("type-checks the SvelteKit example, pages included, against the client's sources", {
  timeout: 180_000,
}, async () => {
  const examples = fileURLToPath(new URL("../../examples", import.meta.url));
  const bin = fileURLToPath(new URL("../../node_modules/.bin", import.meta.url));
  const cwd = `${examples}/sveltekit`;
  await installClient(examples);
  const run = promisify(execFile);
  await run(`${bin}/svelte-kit`, ["sync"], { cwd });
  // What the sources need, and stricter than what an app needs.
  const compilerOptions = { allowImportingTsExtensions: true, exactOptionalPropertyTypes: true };
  await writeFile(`${cwd}/.svelte-kit/check.json`, JSON.stringify({ extends: "../tsconfig.json", compilerOptions }));
  const check = run(`${bin}/svelte-check`, ["--tsconfig", ".svelte-kit/check.json", "--output", "human"], { cwd });
  const { stdout } = await check.catch(({ stdout }: { stdout: string }) => ({ stdout }));
  expect(stdout).toContain("svelte-check found 0 errors and 0 warnings");
});

describeInChromium("the SvelteKit example", (browser) => {
  let example: RunningExample;
  let visitors: Visitor[] = [];
  beforeAll(async () => {
    example = await startExample({ name: "sveltekit", redisUrl: testRedisUrl() });
  }, 60_000);
  afterAll(() => example?.close(), 30_000);
  afterEach(async () => {
    await Promise.all(visitors.map(({ close }) => close()));
    visitors = [];
    example.kindling.emulator.signInAs(null);
  });

  const visit = async (): Promise<Visitor> => {
    const visitor = await createVisitor(browser(), example.url);
    visitors.push(visitor);
    return visitor;
  };
  const signIn = async (id: "kp_ada" | "kp_bob" | "kp_carol") => {
    const visitor = await visit();
    example.kindling.emulator.signInAs(id);
    const document = await visitor.settled(() => visitor.open("/api/auth/login"));
    return { ...visitor, document };
  };
  /** Makes the user's record older. */
  const age = async (id: string, ms: number) => {
    const { REDIS_URL = "", KINDLING_PREFIX } = example.kindling.env;
    const redis = new Redis(REDIS_URL);
    const key = `${KINDLING_PREFIX}:flags:{${id}}`;
    const record = JSON.parse(String(await redis.get(key)));
    await redis.set(key, JSON.stringify({ ...record, fetchedAt: record.fetchedAt - ms }));
    redis.disconnect();
  };
  const studio = { heading: "Invoices", plan: "Free", links: ["Invoices", "EU VAT"] };

  it("takes a newcomer from sign-up over the welcome page to the studio, each right in its first HTML", async () => {
    const { page, open, arrive, settled, shown, problems } = await visit();
    expect(await open("/")).toEqual({ path: "/", status: 200, heading: "Invoices for small studios." });

    await arrive(() => page.getByRole("link", { name: "Create your studio" }).click());
    await page.getByLabel("Email").fill("grace@example.com");
    await page.getByLabel("First name").fill("Grace");
    await page.getByLabel("Last name").fill("Hopper");
    const signUp = () => page.getByRole("button", { name: "Create user and sign in" }).click();
    const welcome = await settled(() => arrive(signUp));
    expect(welcome, example.output()).toEqual({ path: "/welcome", status: 200, heading: "Welcome, Grace." });
    expect(await shown()).toEqual([{ heading: "Welcome, Grace." }]);
    const cookies = await page.context().cookies(example.url);

    const headers = { origin: example.url, accept: "text/html" };
    const empty = await page.request.post(page.url(), { form: {}, headers });
    expect(empty.status()).toBe(400);
    expect(await empty.text()).toContain("Choose where your studio is.");
    await page.getByLabel("European Union").check();
    await screenshot(page, "welcome");
    const finish = () => page.getByRole("button", { name: "Open my studio" }).click();
    expect(await settled(() => arrive(finish))).toEqual({ path: "/invoices", status: 200, ...studio });
    expect(await shown()).toEqual([studio]);
    await screenshot(page, "free");

    expect(await open("/welcome")).toEqual({ path: "/invoices", status: 200, ...studio });
    // All of it with the token of the sign-up, which carries nothing of this.
    expect(cookies.map(({ name }) => name)).toContain("kinde_access_token");
    expect(await page.context().cookies(example.url)).toEqual(cookies);
    expect(problems).toEqual([]);
  });

  it("shows an upgrade by hand in the open page, without a webhook, and opens what an admin of the EU may see", async () => {
    const { kinde, deliveries } = example.kindling.emulator;
    const { page, open, shown, problems, document } = await signIn("kp_ada");
    const ada = { ...studio, links: ["Invoices", "EU VAT", "Admin"] };
    expect(document).toEqual({ path: "/invoices", status: 200, ...ada });
    const before = deliveries.list().length;

    kinde.setProperties("kp_ada", { plan_tier: "pro" });
    await page.getByRole("heading", { name: "Income" }).waitFor();
    expect(await shown()).toEqual([ada, { ...ada, plan: "Pro" }]);
    expect(deliveries.list()).toHaveLength(before);
    await screenshot(page, "pro");

    expect(await open("/vat")).toEqual({ path: "/vat", status: 200, ...ada, heading: "EU VAT", plan: "Pro" });
    expect(await open("/admin")).toMatchObject({ path: "/admin", status: 200, heading: "Admin" });
    expect(problems).toEqual([]);
  });

  it("refuses another region's page, and in the hook the admin page until the permission arrives", async () => {
    const { page, open, shown, settled, document } = await signIn("kp_bob");
    expect(document).toMatchObject({ heading: "Invoices", links: ["Invoices"] });
    expect(await open("/vat")).toEqual({ path: "/vat", status: 403, heading: "This page is not open to you." });
    await screenshot(page, "refused");
    expect(await open("/admin")).toEqual({ path: "/admin", status: 403, heading: "Forbidden" });

    await settled(() => open("/invoices"));
    example.kindling.emulator.kinde.setRoles("kp_bob", "org_northwind", ["owner"]);
    await page.getByRole("link", { name: "Admin" }).click();
    await page.getByRole("heading", { name: "Admin" }).waitFor();
    expect((await shown()).map(({ links }) => links)).toEqual([
      ["Invoices"],
      ["Invoices", "Admin"],
      ["Invoices", "Admin"],
    ]);
  });

  it("serves a user without an organization, unless suspended or not to be checked, in the open page too", async () => {
    const { kinde, faults } = example.kindling.emulator;
    const { page, open, settled, document } = await signIn("kp_carol");
    expect(document).toEqual({ path: "/invoices", status: 200, ...studio });
    expect(await page.locator("footer").textContent()).toContain("Personal account");
    expect(await open("/admin")).toMatchObject({ status: 403 });

    // A record older than the flag allows, and a Kinde too slow to replace it in time.
    const recover = faults.set({ kind: "latency", ms: 2_500 });
    await until(async () => {
      // A sweep that is under way can still confirm the record.
      await age("kp_carol", 120_000);
      expect(await open("/invoices")).toEqual({ path: "/paused", status: 200, heading: "One moment, please." });
    });
    recover();
    await example.kindling.synced();

    expect(await settled(() => open("/invoices"))).toMatchObject({ path: "/invoices" });
    kinde.suspendUser("kp_carol");
    await page.waitForURL("**/paused");
    expect(await open("/invoices")).toEqual({ path: "/paused", status: 200, heading: "Your account is paused." });
  });

  it("takes a deleted user, whose token is still valid, to the page of visitors", async () => {
    const { open } = await signIn("kp_bob");
    example.kindling.emulator.kinde.deleteUser("kp_bob");
    await example.kindling.synced();
    const landing = { path: "/", status: 200, heading: "Invoices for small studios." };
    for (const path of ["/", "/invoices", "/welcome"]) expect(await open(path)).toEqual(landing);
  });
});
