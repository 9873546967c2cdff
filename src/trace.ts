import {
  type Attributes,
  context,
  isSpanContextValid,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { errorCode } from "./errors.ts";

const scope = "kindling";

/** Options for {@link inSpan}. */
export interface SpanSpec {
  /** Default: internal. */
  kind?: "server" | "client" | "internal";
  /** Ids and codes only, like the log: never a token, an email address or a value of a property. */
  attributes?: Attributes;
}

const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };

/**
 * Returns whether an OpenTelemetry SDK is registered in this process. Without one, `@opentelemetry/api` does nothing,
 * and neither do we: no span is created and nothing is added to jobs.
 */
export function isTracing(): boolean {
  const provider = trace.getTracerProvider();
  // The API's own proxy has no tracer until an SDK registers one.
  return !("getDelegateTracer" in provider) || Object(provider).getDelegateTracer(scope) !== undefined;
}

/**
 * Runs a task in a span that ends with it. A task that throws marks the span with the error's code.
 *
 * @param task Receives the span; `undefined` if no SDK is registered
 */
export function inSpan<T>(
  name: string,
  { kind = "internal", attributes = {} }: SpanSpec,
  task: (span: Span | undefined) => Promise<T>,
): Promise<T> {
  if (!isTracing()) return task(undefined);
  return trace.getTracer(scope).startActiveSpan(name, { kind: kinds[kind], attributes }, async (span) => {
    try {
      return await task(span);
    } catch (error) {
      // The code only: the messages of third-party errors can quote personal data.
      span.setStatus({ code: SpanStatusCode.ERROR, message: errorCode(error) });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Returns the active trace as text that BullMQ carries in a job; `undefined` without one. */
export function traceCarrier(): string | undefined {
  if (!isTracing()) return undefined;
  const carrier = {};
  propagation.inject(context.active(), carrier);
  return JSON.stringify(carrier);
}

/** Returns a function that runs others in the trace that is active now. */
export function keepTrace(): <T>(task: () => T) => T {
  if (!isTracing()) return (task) => task();
  const kept = context.active();
  return (task) => context.with(kept, task);
}

/** Returns the ids of the active span for a log entry; nothing without one. */
export function traceIds(): { trace_id?: string; span_id?: string } {
  const active = trace.getActiveSpan()?.spanContext();
  return active !== undefined && isSpanContextValid(active) ? { trace_id: active.traceId, span_id: active.spanId } : {};
}
