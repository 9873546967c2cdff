import { setTimeout as sleep } from "node:timers/promises";
import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { EmulatorError } from "../emulator-error.ts";
import type { Faults, Target } from "../faults/faults.ts";
import { garbage, type Interrupt, interruptOf } from "../faults/interrupts.ts";
import { admit } from "../faults/limits.ts";
import type { CallLog, LogEntry } from "../types.ts";
import { failure, failureOf, type Reply } from "./reply.ts";
import type { Counter } from "./stats.ts";
import { hang, reset, send, truncate } from "./wire.ts";

export type EmulatorContext = Context<{ Bindings: HttpBindings }>;

export interface PipelineDeps {
  faults: Faults;
  counter: Counter;
  onEvent: (entry: LogEntry) => void;
  /** Aborts when the emulator closes. */
  closing: AbortSignal;
}

export interface PipelineRoute {
  method: string;
  /** Path pattern with `{name}` for parameters. */
  route: string;
  handle: (context: EmulatorContext, target: Target) => Reply | Promise<Reply>;
  /** Faults specific to this route. */
  interrupt?: () => Interrupt | undefined;
}

interface Outcome {
  status: CallLog["status"];
  response: Response;
}

/** Wraps route handlers: counts the call, applies limits and faults, and sends the answer. */
export function createPipeline({ faults, counter, onEvent, closing }: PipelineDeps) {
  const wait = async (target: Target, when: "before" | "after") => {
    const latency = faults.covering("latency", target).find(({ fault }) => (fault.when ?? "before") === when);
    if (!latency || latency.random() >= (latency.fault.probability ?? 1)) return;
    faults.recordStrike(latency.fault);
    await sleep(latency.draw(latency.fault.ms), undefined, { signal: closing }).catch(() => undefined);
  };

  const handle = async (route: PipelineRoute, context: EmulatorContext, target: Target): Promise<Outcome> => {
    await wait(target, "before");
    const interrupt = route.interrupt?.() ?? interruptOf(faults, target);
    if (interrupt) return interrupted(interrupt, context);
    const reply = await answer(route, context, target, faults);
    await wait(target, "after");
    if (faults.strike("truncated", target)) {
      return { status: "truncated", response: await truncate(context.env, reply) };
    }
    return replied(faults.strike("garbage", target) ? garbage : reply);
  };

  return (route: PipelineRoute) =>
    async (context: EmulatorContext): Promise<Response> => {
      const target = targetOf(context);
      const end = counter.begin(route.method, route.route);
      const admission = admit(faults, target);
      let outcome: Outcome = { status: "reset", response: new Response() };
      try {
        outcome = "refusal" in admission ? replied(admission.refusal) : await handle(route, context, target);
      } finally {
        if ("leave" in admission) admission.leave();
        const { method, status, ms } = end(target.user ?? null, outcome.status);
        onEvent({ type: "call", method, path: route.route, status, ms });
      }
      return outcome.response;
    };
}

const replied = (reply: Reply): Outcome => ({ status: reply.status, response: send(reply) });

async function interrupted(interrupt: Interrupt, context: EmulatorContext): Promise<Outcome> {
  if (interrupt.how === "answer") return replied(interrupt.reply);
  if (interrupt.how === "reset") return { status: "reset", response: reset(context.env) };
  return { status: "hung", response: await hang(context.env) };
}

async function answer(route: PipelineRoute, context: EmulatorContext, target: Target, faults: Faults): Promise<Reply> {
  try {
    return await route.handle(context, target);
  } catch (error) {
    const reply = failureOf(error);
    if (!reply) return failure(500, "INTERNAL_ERROR", error instanceof Error ? error.message : String(error));
    if (!(error instanceof EmulatorError && error.code === "unknown_user")) return reply;
    const strike = faults.strike("unknown_user", target);
    return strike ? failure(strike.fault.status, "USER_NOT_FOUND", error.message) : reply;
  }
}

function targetOf(context: EmulatorContext): Target {
  const user = context.req.param("user_id") ?? context.req.query("id");
  return { path: context.req.path, method: context.req.method, user };
}
