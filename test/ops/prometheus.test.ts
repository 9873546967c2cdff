import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { runMetrics } from "../../src/service/run-metrics.ts";
import { findPrometheusTool, type Prometheus, startPrometheus } from "../support/prometheus.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const folder = fileURLToPath(new URL("../../ops/prometheus/", import.meta.url));
const read = (path: string) => readFileSync(new URL(`../../ops/${path}`, import.meta.url), "utf8");

const rulesSchema = z.object({
  groups: z
    .array(
      z.object({
        name: z.string(),
        rules: z.array(
          z.object({
            alert: z.string().startsWith("Kindling"),
            expr: z.string(),
            for: z.string().optional(),
            labels: z.strictObject({ severity: z.enum(["warning", "critical"]) }),
            annotations: z.strictObject({ summary: z.string(), description: z.string() }),
          }),
        ),
      }),
    )
    .length(1),
});
const rules = rulesSchema.parse(parse(read("prometheus/kindling.rules.yml")));
const alerts = rules.groups.flatMap((group) => group.rules);

const target = z.object({ expr: z.string(), legendFormat: z.string() });
const dashboard = z
  .object({
    uid: z.literal("kindling"),
    schemaVersion: z.int(),
    templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.string() })) }),
    annotations: z.object({ list: z.array(z.object({ expr: z.string() })) }),
    panels: z.array(
      z.object({
        id: z.int(),
        type: z.enum(["row", "stat", "timeseries"]),
        title: z.string().min(1),
        gridPos: z.object({ x: z.int(), y: z.int(), w: z.int().max(24), h: z.int() }),
        targets: z.array(target).default([]),
      }),
    ),
  })
  .parse(JSON.parse(read("grafana/kindling.json")));
const panels = dashboard.panels.filter(({ type }) => type !== "row");

const promtool = await findPrometheusTool("promtool");
const prometheus = await findPrometheusTool("prometheus");

function run(args: readonly string[], options: { cwd?: string; input?: string } = {}) {
  const { status, stdout, stderr } = spawnSync(promtool ?? "promtool", args, { encoding: "utf8", ...options });
  return { status, output: stdout + stderr };
}

describe.skipIf(promtool === undefined)("promtool (skipped if it is not installed)", () => {
  it("accepts the configuration and the rules", () => {
    expect(run(["check", "config", "prometheus.yml"], { cwd: folder })).toMatchObject({ status: 0 });
    expect(run(["check", "rules", "--lint-fatal", "kindling.rules.yml"], { cwd: folder })).toMatchObject({ status: 0 });
  });

  it("passes the unit tests of the rules", () => {
    expect(run(["test", "rules", "kindling.rules.test.yml"], { cwd: folder })).toMatchObject({ status: 0 });
  });

  describe("with one alert taken out", () => {
    let copy: string;
    beforeAll(() => {
      copy = mkdtempSync(join(tmpdir(), "kindling-rules-"));
      cpSync(folder, copy, { recursive: true });
    });
    afterAll(() => rmSync(copy, { recursive: true, force: true }));

    it.each(alerts.map(({ alert }) => alert))("fails the unit tests: %s", (name) => {
      const [group] = rules.groups;
      const rest = { groups: [{ ...group, rules: alerts.filter(({ alert }) => alert !== name) }] };
      writeFileSync(join(copy, "kindling.rules.yml"), stringify(rest));
      expect(run(["test", "rules", "kindling.rules.test.yml"], { cwd: copy })).toMatchObject({ status: 1 });
    });
  });
});

describe.skipIf(prometheus === undefined)("a real Prometheus (skipped if it is not installed)", () => {
  let stack: Stack;
  let scraper: Prometheus;
  const servers: { port: number; close(): Promise<void> }[] = [];

  beforeAll(async () => {
    stack = await startStack({
      env: { KINDLING_METRICS_PORT: "0", KINDLING_AUDIT_SAMPLE: "10", KINDLING_API_TOKEN: "t".repeat(32) },
    });
    const { store, config, world, log, emulator } = stack;
    stack.subscribe();
    const { id } = emulator.kinde.createUser({ email: "someone@example.com" });
    await fetch(stack.webhookUrl, { method: "POST", body: "not a token" });
    await emulator.deliveries.settled();
    await until(async () => expect((await store.ledger.size()).size).toBe(0));
    emulator.kinde.setProperties(id, { plan_tier: "gold" });
    await store.queues.enqueueAudit();
    await store.queues.enqueueReprocess([id]);
    await store.queues.enqueueSweep();
    await until(async () => {
      expect(await store.audits.last()).toBeDefined();
      expect(await store.sweeps.last()).toBeDefined();
      expect((await store.activity.read()).misfits).not.toEqual([]);
      expect((await store.activity.read()).calls).not.toEqual([]);
    });
    for (let n = 0; n < 2; n += 1) {
      const server = await runMetrics(config, world, log, store);
      if (server !== undefined) servers.push(server);
    }
    const { scrape_configs: _, rule_files: __, ...rest } = parse(read("prometheus/prometheus.yml"));
    scraper = await startPrometheus(prometheus ?? "", {
      ...rest,
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: [join(folder, "kindling.rules.yml")],
      scrape_configs: [
        { job_name: "kindling", static_configs: [{ targets: servers.map(({ port }) => `127.0.0.1:${port}`) }] },
      ],
    });
    await until(async () => expect(await scraper.query("kindling_ledger_size")).toHaveLength(4));
  }, 60_000);

  afterAll(async () => {
    await scraper?.close();
    for (const server of servers) await server.close();
    await stack?.close();
  });

  it.skipIf(promtool === undefined)("finds nothing to criticize in the exposition", async () => {
    const text = await (await fetch(`http://127.0.0.1:${servers[0]?.port}/metrics`)).text();
    expect(run(["check", "metrics"], { input: text })).toEqual({ status: 0, output: "" });
    expect(run(["check", "metrics"], { input: text.replace("# HELP", "# HLP") })).not.toMatchObject({ status: 0 });
  });

  it("scrapes every server without an error", async () => {
    // While promtool ran, the servers in this process could not answer.
    await until(async () => {
      const { activeTargets } = (await scraper.api("targets")) as { activeTargets: { health: string }[] };
      expect(activeTargets).toMatchObject([
        { health: "up", lastError: "" },
        { health: "up", lastError: "" },
      ]);
    });
  });

  it.each([
    ['kindling_http_answers_total{route="POST /webhooks/kinde",status="200"}', 1],
    ['kindling_http_answers_total{route="POST /webhooks/kinde",status="400"}', 1],
    ['kindling_kinde_calls_total{route="POST /oauth2/token",status="200"}', 1],
    ['kindling_refreshes_total{cause="event",outcome="committed"}', 1],
    ['kindling_refreshes_total{cause="reprocess",outcome="committed"}', 1],
  ])("shows what the fleet did: max(%s)", async (series, expected) => {
    const [found] = await until(async () => {
      const result = await scraper.query(`max(${series})`);
      expect(result).toHaveLength(1);
      return result;
    });
    expect(found?.value[1]).toBe(String(expected));
  });

  it("shows misfits by flag, calls by route and Redis' memory", async () => {
    const sum = async (expression: string) => Number((await scraper.query(expression))[0]?.value[1]);
    await until(async () => expect(await sum('max(kindling_misfits_total{flag="tier"})')).toBeGreaterThan(0));
    await until(async () =>
      expect(await sum('max(kindling_kinde_calls_total{route="GET /api/v1/user",status="200"})')).toBeGreaterThan(1),
    );
    expect(await sum("max(kindling_redis_memory_used_bytes)")).toBeGreaterThan(100_000);
  });

  it("evaluates every alert of this healthy fleet without firing", async () => {
    const names = (await scraper.api("rules")) as { groups: { rules: { name: string; health: string }[] }[] };
    await until(async () => {
      const state = (await scraper.api("rules")) as typeof names;
      const health = state.groups.flatMap((group) => group.rules).map((rule) => [rule.name, rule.health]);
      expect(health).toEqual(alerts.map(({ alert }) => [alert, "ok"]));
    });
    const firing = await scraper.query('ALERTS{alertstate="firing",severity="critical"}');
    expect(firing).toEqual([]);
  });

  it("knows every metric that the rules and the dashboard name", async () => {
    const text = await (await fetch(`http://127.0.0.1:${servers[0]?.port}/metrics`)).text();
    const known = new Set([...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name));
    const used = [...alerts, ...panels.flatMap(({ targets }) => targets)].flatMap(({ expr }) =>
      [...expr.matchAll(/kindling_\w+/g)].map(([name]) => name.replace(/_bucket$/, "")),
    );
    expect(used.filter((name) => !known.has(name))).toEqual([]);
    expect(used.length).toBeGreaterThan(40);
  });

  it.each(panels.map(({ title, targets }) => [title, targets] as const))("draws the panel: %s", async (_, targets) => {
    expect(targets.length).toBeGreaterThan(0);
    for (const { expr } of targets) {
      const result = await scraper.query(expr.replaceAll("$__rate_interval", "1m"));
      // One line for the fleet, however many servers there are.
      const lines = result.map(({ metric }) => JSON.stringify({ ...metric, job: undefined }));
      expect(new Set(lines).size).toBe(lines.length);
      for (const { metric } of result) expect(metric).not.toHaveProperty("instance");
    }
  });
});

describe("the dashboard", () => {
  it("places no panel on another", () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${x + (n % w)}:${y + Math.floor(n / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });
});
