import { afterEach, describe, expect, it } from "vitest";
import { createLog } from "../../src/log.ts";
import { runMetrics } from "../../src/service/run-metrics.ts";
import { createMetricsApp } from "../../src/status/metrics-route.ts";
import { renderMetrics } from "../../src/status/render-metrics.ts";
import { envOf, spawnKindling } from "../cli/command-line.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack | undefined;
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await stack?.close();
  stack = undefined;
});

/** Parses `name{labels} value` lines. Every other line must be a well-formed comment. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  for (const line of text.trimEnd().split("\n")) {
    if (/^# (HELP kindling_\w+ \S.*|TYPE kindling_\w+ (counter|gauge|histogram))$/.test(line)) continue;
    const [, name = "", value = ""] =
      /^([a-z_]+(?:\{(?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+\})?) (-?\d+(?:\.\d+)?(?:e[+-]\d+)?)$/.exec(line) ?? [];
    if (name === "") throw new Error(`Not a sample: ${line}`);
    if (samples.has(name)) throw new Error(`Duplicate sample: ${line}`);
    samples.set(name, Number(value));
  }
  return samples;
}

describe("metrics", () => {
  it("are in the Prometheus text format and contain no personal data", async () => {
    stack = await startStack({ env: { KINDLING_METRICS_PORT: "0", KINDLING_AUDIT_SAMPLE: "10" } });
    const { store, config, world, log, emulator } = stack;
    stack.subscribe();
    const { id, email } = emulator.kinde.createUser({ email: "someone@example.com" });
    await emulator.deliveries.settled();
    await until(async () => expect((await store.ledger.size()).size).toBe(0));
    emulator.kinde.setProperties(id, { plan_tier: "enterprise" });
    await store.queues.enqueueAudit();
    await until(async () => expect(await store.audits.last()).toMatchObject({ drifted: 1 }));
    const server = await runMetrics(config, world, log, store);
    closing.push(async () => server?.close());
    const response = await fetch(`http://127.0.0.1:${server?.port}/metrics`);
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const text = await response.text();
    const samples = parse(text);
    expect(samples.get('kindling_events_total{outcome="accepted",type="user.created"}')).toBe(1);
    expect(samples.get("kindling_readable_seconds_count")).toBe(1);
    expect(samples.get('kindling_readable_seconds_bucket{le="+Inf"}')).toBe(1);
    expect(samples.get('kindling_readable_seconds_bucket{le="60"}')).toBe(1);
    expect(samples.get('kindling_ledger_size{ledger="users"}')).toBe(0);
    expect(samples.get('kindling_audit_drift_total{cause="property_change"}')).toBe(1);
    expect(samples.get("kindling_audit_drift_ratio")).toBe(1);
    expect(samples.get('kindling_webhook_state{state="ok"}')).toBe(1);
    expect(samples.get('kindling_records{status="present"}')).toBe(1);
    expect(samples.has("kindling_sweep_users")).toBe(false);
    for (const personal of [id, email ?? "?", "enterprise", config.clientSecret]) expect(text).not.toContain(personal);
    expect((await fetch(`http://127.0.0.1:${server?.port}/`)).status).toBe(404);
  });

  it("have cumulative buckets up to the count", async () => {
    stack = await startStack({ workers: false, env: { KINDLING_METRICS_PORT: "0" } });
    const { store, config, world, log } = stack;
    const redisKey = store.keys.ledgerPart("readable");
    await store.redis.hset(redisKey, { "50": 2, "1000": 3, "300000": 1, more: 4, sum: 9_000 });
    const server = await runMetrics(config, world, log, store);
    closing.push(async () => server?.close());
    const samples = parse(await (await fetch(`http://127.0.0.1:${server?.port}/metrics`)).text());
    const buckets = [...samples].filter(([name]) => name.startsWith("kindling_readable_seconds_bucket"));
    const values = buckets.map(([, value]) => value);
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect(samples.get('kindling_readable_seconds_bucket{le="0.5"}')).toBe(2);
    expect(samples.get('kindling_readable_seconds_bucket{le="1"}')).toBe(5);
    expect(values.slice(-2)).toEqual([6, 10]);
    expect(samples.get("kindling_readable_seconds_count")).toBe(10);
    expect(samples.get("kindling_readable_seconds_sum")).toBe(9);
  });

  it("are served on KINDLING_METRICS_PORT only", async () => {
    stack = await startStack({ workers: false });
    expect(await runMetrics(stack.config, stack.world, stack.log, stack.store)).toBeUndefined();
    expect((await fetch(new URL("/metrics", stack.webhookUrl))).status).toBe(404);
    const env = { ...envOf(stack.config), KINDLING_METRICS_PORT: "0", KINDLING_LOG_LEVEL: "info" };
    const server = spawnKindling(["server"], env);
    closing.push(async () => {
      server.child.kill("SIGTERM");
      expect((await server.ended).code).toBe(0);
    });
    const [, port] = await server.says(/"port":(\d+),"msg":"metrics server listens"/);
    expect(parse(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).size).toBeGreaterThan(30);
  });

  it("read Redis once for concurrent scrapes and answer 503 while it is down", async () => {
    let [reads, clock, failing] = [0, 0, false];
    const read = async () => {
      reads += 1;
      if (failing) throw new Error("down");
      return [];
    };
    const app = createMetricsApp({ read, now: () => clock, log: createLog("silent") });
    const scrape = async () => (await app.request("/metrics")).status;
    expect(await Promise.all([scrape(), scrape(), scrape()])).toEqual([200, 200, 200]);
    expect(reads).toBe(1);
    [clock, failing] = [60_000, true];
    expect(await scrape()).toBe(503);
    failing = false;
    expect(await scrape()).toBe(200);
    expect(reads).toBe(3);
  });

  it("escape characters that would break a line", () => {
    const samples = [{ labels: { cause: 'a "b"\\\nc' }, value: 1 }];
    expect(renderMetrics([{ name: "x_total", help: "one\\\ntwo", type: "counter", samples }])).toBe(
      '# HELP x_total one\\\\\\ntwo\n# TYPE x_total counter\nx_total{cause="a \\"b\\"\\\\\\nc"} 1\n',
    );
  });
});
