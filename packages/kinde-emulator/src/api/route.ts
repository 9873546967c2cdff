import type { ZodType } from "zod";
import type { Scope } from "../auth/scopes.ts";
import type { Faults, Target } from "../faults/faults.ts";
import type { EmulatorContext } from "../http/pipeline.ts";
import { BadRequest, type Reply } from "../http/reply.ts";
import type { World } from "../kinde/world.ts";
import type { Population } from "../state/population.ts";
import type { KindeActions } from "../types.ts";
import type { Events } from "../webhooks/events.ts";
import type { Registry } from "../webhooks/registry.ts";
import type { TornReads } from "./torn-reads.ts";

/** What the routes of the Management API work with. */
export interface ApiDeps {
  world: World;
  population: Population;
  /** Acting as `api`. */
  actions: KindeActions;
  registry: Registry;
  events: Events;
  faults: Faults;
  tornReads: TornReads;
}

/** One call, taken apart. */
export interface ApiCall {
  target: Target;
  param(name: string): string;
  query(name: string): string | undefined;
  searchParams(): URLSearchParams;
  /** The JSON body, checked; anything else is answered 400. */
  body<T>(schema: ZodType<T>): Promise<T>;
}

export interface Route {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below `/api/v1`, with `{name}` for parameters. */
  path: string;
  scope: Scope;
  handle: (call: ApiCall) => Reply | Promise<Reply>;
}

export function toCall(context: EmulatorContext, target: Target): ApiCall {
  return {
    target,
    param: (name) => context.req.param(name) ?? "",
    query: (name) => context.req.query(name) || undefined,
    searchParams: () => new URL(context.req.url).searchParams,
    body: async (schema) => {
      const body: unknown = await context.req.json().catch(() => undefined);
      const parsed = schema.safeParse(body);
      if (parsed.success) return parsed.data;
      const [issue] = parsed.error.issues;
      throw new BadRequest(`${issue?.path.join(".") || "body"}: ${issue?.message ?? "not understood"}`);
    },
  };
}

/** Kinde takes at most this many objects in one write. */
export const MAX_BULK = 100;

export function refuseBulk(count: number): void {
  if (count > MAX_BULK) throw new BadRequest(`At most ${MAX_BULK} objects in one call.`, "too_many_objects");
}
