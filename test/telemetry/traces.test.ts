import { context, propagation, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { Hono } from "hono";
import { afterEach, describe, expect, it } from "vitest";
import { observeRequests } from "../../src/http/observe-requests.ts";
import { createLog } from "../../src/log.ts";
import { inSpan } from "../../src/trace.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack | undefined;

/** Registers an SDK as an operator's `--import` would, and returns its spans. */
function registerSdk(): InMemorySpanExporter {
  const exporter = new InMemorySpanExporter();
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  return exporter;
}

afterEach(async () => {
  await stack?.close();
  stack = undefined;
  trace.disable();
  context.disable();
  propagation.disable();
});

describe("traces", () => {
  it("lead from each webhook through the queue to its commit", async () => {
    const exporter = registerSdk();
    stack = await startStack();
    stack.subscribe();
    const { kinde, deliveries } = stack.emulator;
    const users = [1, 2, 3].map((n) => kinde.createUser({ email: `someone${n}@example.com` }));
    await deliveries.settled();
    const commits = await until(() => {
      const found = exporter.getFinishedSpans().filter(({ name }) => name === "commit");
      expect(found).toHaveLength(3);
      return found;
    });
    await until(() =>
      expect(exporter.getFinishedSpans().filter(({ name }) => name === "process refresh")).toHaveLength(3),
    );
    const spans = exporter.getFinishedSpans();
    const pathOf = (id: string | undefined): string[] => {
      const span = spans.find((each) => each.spanContext().spanId === id);
      return span === undefined ? [] : [...pathOf(span.parentSpanContext?.spanId), span.name];
    };
    for (const commit of commits) {
      expect(pathOf(commit.spanContext().spanId)).toEqual([
        "POST /webhooks/kinde",
        "admit event",
        "process refresh",
        "refresh",
        "commit",
      ]);
    }
    expect(new Set(commits.map((commit) => commit.spanContext().traceId)).size).toBe(3);
    const refreshes = spans.filter(({ name }) => name === "refresh").map(({ attributes }) => attributes);
    expect(new Set(refreshes.map((each) => each["kindling.user.id"]))).toEqual(new Set(users.map(({ id }) => id)));
    expect(refreshes[0]).toMatchObject({ "kindling.refresh.cause": "event", "kindling.refresh.outcome": "committed" });
    expect(spans.find(({ name }) => name === "GET /api/v1/user")?.attributes).toMatchObject({
      "http.response.status_code": 200,
    });
    // Idle workers poll: that leaves no spans.
    expect(new Set(spans.map(({ name }) => name).filter((name) => !name.startsWith("GET /api/v1/")))).toEqual(
      new Set(["POST /webhooks/kinde", "admit event", "addBulk refresh", "process refresh", "refresh", "commit"]),
    );
    const shown = JSON.stringify(
      spans.map(({ name, attributes, events, status }) => [name, attributes, events, status]),
    );
    for (const personal of [...users.map(({ email }) => email), stack.config.clientSecret]) {
      expect(shown).not.toContain(personal);
    }
  });

  it("mark a failed request to Kinde by its code", async () => {
    const exporter = registerSdk();
    const failed = inSpan("call", {}, async () => Promise.reject(new Error("someone@example.com")));
    await expect(failed).rejects.toThrow("someone@example.com");
    expect(exporter.getFinishedSpans()).toMatchObject([{ name: "call", status: { code: 2, message: "unexpected" } }]);
    expect(JSON.stringify(exporter.getFinishedSpans()[0]?.events)).not.toContain("@");
  });

  it("mark an answer of ours that failed, and no refused request", async () => {
    const exporter = registerSdk();
    const app = new Hono()
      .use(observeRequests({ count: () => undefined, log: createLog("silent"), logShare: 0 }))
      .get("/broken", (context) => context.text("", 503))
      .get("/refused", (context) => context.text("", 400));
    await app.request("/broken");
    await app.request("/refused");
    expect(exporter.getFinishedSpans()).toMatchObject([
      { name: "GET /broken", status: { code: SpanStatusCode.ERROR } },
      { name: "GET /refused", status: { code: SpanStatusCode.UNSET } },
    ]);
  });

  it("leave nothing in jobs without an SDK", async () => {
    stack = await startStack({ workers: false });
    stack.subscribe();
    stack.emulator.kinde.createUser();
    await stack.emulator.deliveries.settled();
    const [job] = await stack.store.queues.refresh.getJobs();
    expect(job?.opts).not.toHaveProperty("telemetry");
    expect(await inSpan("nothing", {}, async (span) => span)).toBeUndefined();
  });
});

describe("log entries", () => {
  it("carry the ids of the active span", async () => {
    const exporter = registerSdk();
    const lines: string[] = [];
    const log = createLog("info", { write: (line) => lines.push(line) });
    await inSpan("work", {}, async () => log.info({ user: "kp_a" }, "inside"));
    log.info({}, "outside");
    const { traceId, spanId } = exporter.getFinishedSpans()[0]?.spanContext() ?? {};
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ msg: "inside", user: "kp_a", trace_id: traceId, span_id: spanId }),
      { level: "info", time: expect.any(String), msg: "outside" },
    ]);
  });
});
