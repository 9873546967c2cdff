import type { HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import { z } from "zod";
import { SCOPES } from "../auth/scopes.ts";
import type { Faults } from "../faults/faults.ts";
import { refuseForeignPages } from "../http/browser-guard.ts";
import type { EmulatorContext } from "../http/pipeline.ts";
import { BadRequest, failureOf, json, type Reply } from "../http/reply.ts";
import { send } from "../http/wire.ts";
import { missing } from "../kinde/world.ts";
import type { Emulator } from "../types.ts";
import { createActionTable } from "./actions.ts";
import { faultSchema } from "./fault-schema.ts";
import { helpPage } from "./help.ts";
import { applicationSchema } from "./schemas.ts";

const BASE = "/__emulator";
const MAX_LISTED = 1000;

const webhookBody = z.object({
  url: z.string().min(1),
  eventTypes: z.array(z.string()).exactOptional(),
  name: z.string().exactOptional(),
});
const rotateBody = z.object({ keepOld: z.boolean().default(false) });
const scopesBody = z.object({ scopes: z.array(z.enum(SCOPES)) });
const signInBody = z.strictObject({ as: z.string().min(1).nullable() });
const signBody = z.object({ payload: z.unknown(), header: z.record(z.string(), z.unknown()).exactOptional() });

type Handle = (context: EmulatorContext) => Reply | Promise<Reply>;

/** Mounts the control API, which exposes the `Emulator` interface over HTTP. */
export function mountControl(app: Hono<{ Bindings: HttpBindings }>, emulator: Emulator, faults: Faults): void {
  const on = (method: string, path: string, handle: Handle) =>
    app.on(method, BASE + path, async (context) => send(await answered(handle, context)));

  app.use(`${BASE}/*`, refuseForeignPages);

  const actions = createActionTable(emulator.kinde);

  app.get("/", (context) => context.text(helpPage(emulator.url, [...actions.keys()])));
  on("GET", "", () => json(stateOf(emulator)));
  mountKinde(on, emulator, actions);
  mountFaults(on, faults);
  mountDeliveries(on, emulator);

  on("GET", "/stats", () => json(emulator.stats));
  on("POST", "/stats/reset", () => {
    emulator.stats.reset();
    return json(emulator.stats);
  });
  on("GET", "/keys", () => json(emulator.keys.jwks()));
  on("POST", "/keys/rotate", async (context) => {
    await emulator.keys.rotate(await read(context, rotateBody));
    return json(emulator.keys.jwks());
  });
  on("GET", "/applications", () => json(emulator.applications.list()));
  on("POST", "/applications", async (context) =>
    json(emulator.applications.create(await read(context, applicationSchema)), 201),
  );
  on("POST", "/sign-in", async (context) => {
    const { as } = await read(context, signInBody);
    emulator.signInAs(as);
    return json({ as });
  });
  on("GET", "/scopes", () => json(emulator.scopes.list()));
  on("POST", "/scopes", async (context) => {
    emulator.scopes.set((await read(context, scopesBody)).scopes);
    return json(emulator.scopes.list());
  });
}

type On = (method: string, path: string, handle: Handle) => void;

function mountKinde(on: On, emulator: Emulator, actions: ReturnType<typeof createActionTable>): void {
  on("GET", "/users", (context) => {
    const limit = Math.min(Number(context.req.query("limit") ?? 20) || 20, MAX_LISTED);
    return json({ userCount: emulator.kinde.userCount, ids: firstOf(emulator.kinde.userIds(), limit) });
  });
  on("GET", "/users/:id", (context) => {
    const id = context.req.param("id") ?? "";
    return json(emulator.kinde.user(id) ?? missing("user", id));
  });
  on("GET", "/users/:id/tokens", async (context) => {
    const id = context.req.param("id") ?? "";
    const { accessToken, idToken } = emulator.deliveries;
    return json({ accessToken: await accessToken(id), idToken: await idToken(id) });
  });
  on("POST", "/kinde/:action", async (context) => {
    const name = context.req.param("action") ?? "";
    const action = actions.get(name);
    if (!action)
      throw new BadRequest(
        `Unknown action "${name}". Use one of: ${[...actions.keys()].join(", ")}.`,
        "invalid_action",
      );
    return json({ result: action(await bodyOf(context)) ?? null });
  });
}

function mountFaults(on: On, faults: Faults): void {
  on("GET", "/faults", () => json(faults.list()));
  on("POST", "/faults", async (context) => {
    faults.set(await read(context, faultSchema));
    return json(faults.list(), 201);
  });
  on("DELETE", "/faults", () => {
    faults.clear();
    return json(faults.list());
  });
  on("DELETE", "/faults/:id", (context) => {
    const id = context.req.param("id") ?? "";
    return faults.remove(id) ? json(faults.list()) : missing("fault", id);
  });
}

function mountDeliveries(on: On, { webhooks, deliveries }: Emulator): void {
  on("GET", "/webhooks", () => json(webhooks.list()));
  on("POST", "/webhooks", async (context) => json(webhooks.register(await read(context, webhookBody)), 201));
  on("DELETE", "/webhooks/:id", (context) => {
    webhooks.remove(context.req.param("id") ?? "");
    return json(webhooks.list());
  });
  on("POST", "/webhooks/:id/enable", (context) => json(webhooks.enable(context.req.param("id") ?? "")));
  on("GET", "/deliveries", () =>
    json({ pending: deliveries.pending(), deliveries: deliveries.list().slice(-MAX_LISTED) }),
  );
  on("POST", "/deliveries/:event/redeliver", async (context) =>
    json({ status: await deliveries.redeliver(context.req.param("event") ?? "") }),
  );
  on("POST", "/sign", async (context) => {
    const { payload, header = {} } = await read(context, signBody);
    const token = await deliveries.sign(payload, { header }).catch((cause: unknown) => {
      // The key is the emulator's own, so the header is at fault.
      throw new BadRequest(
        `The token cannot be signed with this header: ${cause instanceof Error ? cause.message : cause}`,
      );
    });
    return json({ token });
  });
}

const stateOf = ({ url, audience, clientId, kinde, webhooks, deliveries, faults, stats }: Emulator) => ({
  url,
  audience,
  clientId,
  users: kinde.userCount,
  organizations: kinde.organizations().length,
  roles: kinde.roles(),
  webhooks: webhooks.list(),
  pendingDeliveries: deliveries.pending(),
  faults: faults.list(),
  stats: { ...stats, recent: stats.recent.slice(-20) },
});

async function answered(handle: Handle, context: EmulatorContext): Promise<Reply> {
  try {
    return await handle(context);
  } catch (error) {
    const reply = failureOf(error);
    if (reply) return reply;
    throw error;
  }
}

/** Parses the JSON body. An empty body is undefined, so that `curl -X POST` works without `-d`. */
async function bodyOf(context: EmulatorContext): Promise<unknown> {
  const text = await context.req.text();
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new BadRequest("The body is not JSON.");
  }
}

async function read<T>(context: EmulatorContext, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse((await bodyOf(context)) ?? {});
  if (parsed.success) return parsed.data;
  throw new BadRequest(z.prettifyError(parsed.error));
}

function firstOf(ids: Iterable<string>, limit: number): string[] {
  const first: string[] = [];
  for (const id of ids) {
    if (first.length >= limit) break;
    first.push(id);
  }
  return first;
}
