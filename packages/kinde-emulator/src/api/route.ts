import type { ZodType } from "zod";
import type { KindeActions } from "../action-types.ts";
import type { Grants } from "../auth/grants.ts";
import type { Scope } from "../auth/scopes.ts";
import type { Faults, Target } from "../faults/faults.ts";
import type { EmulatorContext } from "../http/pipeline.ts";
import { BadRequest, type Reply } from "../http/reply.ts";
import type { World } from "../kinde/world.ts";
import type { Population } from "../state/population.ts";
import type { Events } from "../webhooks/events.ts";
import type { Registry } from "../webhooks/registry.ts";
import type { TornReads } from "./torn-reads.ts";

/** Dependencies of the Management API routes. */
export interface ApiDeps {
  world: World;
  population: Population;
  /** Actions whose events have the source `api`. */
  actions: KindeActions;
  grants: Grants;
  issuer: () => string;
  registry: Registry;
  events: Events;
  faults: Faults;
  tornReads: TornReads;
}

/** A parsed call. */
export interface ApiCall {
  target: Target;
  param(name: string): string;
  query(name: string): string | undefined;
  searchParams(): URLSearchParams;
  /** Parses the JSON body. An invalid body is answered with 400. */
  body<T>(schema: ZodType<T>): Promise<T>;
}

export interface Route {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path below `/api/v1`, with `{name}` for parameters. */
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
      throw new BadRequest(`${issue?.path.join(".") || "body"}: ${issue?.message ?? "invalid"}`);
    },
  };
}

/** Kinde's limit of objects per bulk write. */
const MAX_BULK = 100;

export function rejectOversizedBulk(count: number): void {
  if (count > MAX_BULK) throw new BadRequest(`A call can change at most ${MAX_BULK} objects.`, "too_many_objects");
}
