import type { KindeActions } from "../../../packages/kinde-emulator/src/action-types.ts";
import { managementRoutes } from "../../../packages/kinde-emulator/src/api/management-api.ts";
import type { ApiCall, Route } from "../../../packages/kinde-emulator/src/api/route.ts";
import { createTornReads } from "../../../packages/kinde-emulator/src/api/torn-reads.ts";
import { createGrants } from "../../../packages/kinde-emulator/src/auth/grants.ts";
import { createFaults } from "../../../packages/kinde-emulator/src/faults/faults.ts";
import {
  BadRequest,
  failure,
  failureOf,
  json,
  type Reply,
  tooMany,
} from "../../../packages/kinde-emulator/src/http/reply.ts";
import { createKindeActions } from "../../../packages/kinde-emulator/src/kinde/actions.ts";
import type { World } from "../../../packages/kinde-emulator/src/kinde/world.ts";
import { type Catalogue, createCatalogue } from "../../../packages/kinde-emulator/src/state/catalogue.ts";
import { createIdentityIds } from "../../../packages/kinde-emulator/src/state/identity-ids.ts";
import { createPopulation } from "../../../packages/kinde-emulator/src/state/population.ts";
import type { UserState } from "../../../packages/kinde-emulator/src/state/user-state.ts";
import { createUsers } from "../../../packages/kinde-emulator/src/state/users.ts";
import {
  createEvents,
  createTimestamps,
  type EventPayload,
} from "../../../packages/kinde-emulator/src/webhooks/events.ts";
import { createRegistry } from "../../../packages/kinde-emulator/src/webhooks/registry.ts";
import type { Fetch, FetchAnswer } from "../../../src/fetch.ts";
import type { Random } from "./random.ts";
import type { Actor, Timeline } from "./timeline.ts";

/** A call to Kinde as faults see it. */
export interface KindeCall {
  method: string;
  path: string;
  /** The user it addresses. */
  user: string | undefined;
  actor: Actor;
}

/** What Kinde, or something in front of it, does to a call. */
export type KindeEffect =
  | { kind: "status"; status: number }
  | { kind: "html"; status: number }
  | { kind: "throttle"; seconds: number }
  | { kind: "hang" | "reset" | "truncate" }
  /** A copy that is behind by this much answers. Microseconds. */
  | { kind: "lag"; micros: number }
  /** A page has only some of its users. */
  | { kind: "shorten" }
  /** A listing lacks this user. */
  | { kind: "omit"; user: string };

/** A fault of Kinde's, for the calls that match. */
export interface KindeFault {
  matches: (call: KindeCall) => boolean;
  effect: KindeEffect;
  until: number;
  /** How many calls it strikes at most. */
  left: number;
}

/** The emulated Kinde without its server: its state and its routes, reached over a simulated network. */
export interface SimulatedKinde {
  fetch: Fetch;
  readonly actions: KindeActions;
  /** Changes state: what it fires is passed to `onEvent`. */
  change<T>(make: (actions: KindeActions) => T): T;
  addFault(fault: KindeFault): void;
  heal(): void;
  /** Users with an answer in flight, which was read before any change that happens now. */
  reading(): string[];
  /** Faults that struck, by the kind of effect. */
  readonly struck: Map<string, number>;
}

/** Options for {@link createSimulatedKinde}. */
export interface SimulatedKindeOptions {
  timeline: Timeline;
  random: Random;
  onEvent: (event: EventPayload) => void;
  /** Called after each change of the state. */
  onChange: () => void;
  /** Called when a call begins, and when its answer is known. */
  onCall: (call: KindeCall) => void;
  onAnswer: (call: KindeCall, status: number, reset: string | null) => void;
  onEnd: (call: KindeCall) => void;
}

/** How much longer than the longest lag past states are kept, in microseconds. */
const historyMicros = 10_000_000;

/** Creates the tenant: organizations, roles and permissions, but no users. */
export function createSimulatedKinde(options: SimulatedKindeOptions): SimulatedKinde {
  const { timeline, random, onEvent, onChange, onCall, onAnswer, onEnd } = options;
  const nowMs = () => timeline.now / 1000;
  const timestamp = createTimestamps(nowMs, 0);
  const events = createEvents(timestamp);
  const fire: World["fire"] = (type, data, source) => {
    const event = events.create(type, data, source);
    fired.push(event);
    return event.event_id;
  };
  const fired: EventPayload[] = [];
  const live = createTenant(createCatalogue(0, 1), [], timestamp, fire);
  const past: { at: number; users: UserState[]; catalogue: Catalogue; routes: readonly Route[] | undefined }[] = [];
  const remember = () => {
    past.push({
      at: timeline.now,
      users: [...live.world.users.walk()],
      catalogue: copyCatalogue(live.world.catalogue),
      routes: undefined,
    });
    while (past[1] !== undefined && past[1].at < timeline.now - historyMicros) past.shift();
  };
  const change = <T>(make: (actions: KindeActions) => T): T => {
    const made = make(live.actions);
    remember();
    onChange();
    for (const event of fired.splice(0)) onEvent(event);
    return made;
  };
  const routesAt = (at: number) => {
    const state = past.findLast((each) => each.at <= at) ?? past[0];
    if (state === undefined || state === past.at(-1)) return live.routes;
    state.routes ??= createTenant(state.catalogue, state.users, timestamp, fire).routes;
    return state.routes;
  };

  let faults: KindeFault[] = [];
  const struck = new Map<string, number>();
  const strike = (call: KindeCall): KindeEffect[] => {
    faults = faults.filter(({ until, left }) => until > timeline.now && left > 0);
    const effects: KindeEffect[] = [];
    for (const fault of faults) {
      if (!fault.matches(call)) continue;
      fault.left -= 1;
      effects.push(fault.effect);
      struck.set(fault.effect.kind, (struck.get(fault.effect.kind) ?? 0) + 1);
    }
    return effects;
  };
  const answered = new Map<object, string>();

  // Returns undefined if nothing is ever answered.
  const answer = async (call: KindeCall, url: URL, body: unknown): Promise<Reply | "reset" | undefined> => {
    const effects = strike(call);
    const find = <K extends KindeEffect["kind"]>(kind: K) =>
      effects.find((effect): effect is Extract<KindeEffect, { kind: K }> => effect.kind === kind);
    if (find("hang")) return undefined;
    if (find("reset")) return "reset";
    const throttle = find("throttle");
    if (throttle) return tooMany(throttle.seconds);
    const status = find("status")?.status;
    if (status !== undefined) return failure(status, "FAULT", "The simulation answers this.");
    const page = find("html");
    if (page)
      return { status: page.status, body: "<html>A gateway answers.</html>", headers: { "content-type": "text/html" } };
    const lag = call.method === "GET" ? (find("lag")?.micros ?? 0) : 0;
    const routes = lag > 0 ? routesAt(timeline.now - lag) : live.routes;
    const reply = await handle(routes, call, url, body);
    if (call.method !== "GET") change(() => undefined);
    if (find("truncate")) return { ...reply, body: reply.body.slice(0, reply.body.length / 2) };
    const omitted = find("omit")?.user;
    const shorten = find("shorten") !== undefined;
    return omitted !== undefined || shorten ? withoutUsers(reply, omitted, shorten) : reply;
  };

  const travel = ({ random: own }: Actor) => (own.chance(0.08) ? 1000 * own.below(400) : 200 + own.below(2000));
  // Most races need an answer that is old when it arrives.
  const travelBack = (actor: Actor) => {
    const { random: own } = actor;
    if (own.chance(0.06)) return 1000 * (500 + own.below(2200));
    return own.chance(0.25) ? 1000 * own.below(600) : travel(actor);
  };

  const fetchSimulated: Fetch = (address, request) => {
    const { actor } = timeline;
    if (actor === undefined) throw new Error("Only a process can call Kinde.");
    const url = new URL(address);
    const method = request?.method ?? "GET";
    const user = url.searchParams.get("id") ?? /\/users\/(kp_\w+)/.exec(url.pathname)?.[1];
    const call: KindeCall = { method, path: url.pathname, user, actor };
    onCall(call);
    return new Promise((resolve, reject) => {
      const signal = request?.signal;
      let over = false;
      const end = (settle: () => void) => {
        if (over) return;
        over = true;
        answered.delete(call);
        signal?.removeEventListener("abort", abort);
        onEnd(call);
        settle();
      };
      const abort = () => end(() => reject(signal?.reason));
      signal?.addEventListener("abort", abort);
      if (signal?.aborted) return abort();
      timeline.outside(travel(actor), async () => {
        const found = await answer(call, url, bodyOf(url.pathname, request?.body));
        if (found === undefined) return;
        if (found === "reset") {
          const cause = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
          timeline.after(travel(actor), () => end(() => reject(new TypeError("fetch failed", { cause }))), actor);
          return;
        }
        onAnswer(call, found.status, found.headers["ratelimit-reset"] ?? null);
        if (user !== undefined && method === "GET") answered.set(call, user);
        timeline.after(travelBack(actor), () => end(() => resolve(respond(found))), actor);
      });
    });
  };

  remember();
  return {
    fetch: fetchSimulated,
    actions: live.actions,
    change,
    addFault: (fault) => {
      faults.push(fault);
    },
    heal: () => {
      faults = [];
    },
    reading: () => [...new Set(answered.values())],
    struck,
  };

  function withoutUsers(reply: Reply, omitted: string | undefined, shorten: boolean): Reply {
    if (reply.status !== 200) return reply;
    const body = JSON.parse(reply.body) as Record<string, unknown>;
    for (const name of ["results", "users", "organization_users"]) {
      const list = body[name];
      if (!Array.isArray(list)) continue;
      const kept = list.filter(({ id }) => id !== omitted);
      // Never empties a page that had users: only that ends a listing.
      body[name] = shorten && kept.length > 1 ? kept.slice(0, 1 + random.below(kept.length - 1)) : kept;
    }
    return { ...reply, body: JSON.stringify(body) };
  }
}

interface SimulatedTenant {
  world: World;
  actions: KindeActions;
  routes: readonly Route[];
}

function createTenant(
  catalogue: Catalogue,
  users: readonly UserState[],
  timestamp: () => string,
  fire: World["fire"],
): SimulatedTenant {
  const population = createPopulation(0, 1);
  const world: World = { users: createUsers(population), catalogue, identityIds: createIdentityIds(), timestamp, fire };
  for (const user of users) world.users.put(user);
  const faults = createFaults(() => undefined);
  const emit: KindeActions["emit"] = (type, data, { source = "admin" } = {}) => fire(type, data, source);
  const deps = {
    world,
    population,
    actions: createKindeActions(world, "api", emit),
    grants: createGrants(Date.now),
    issuer: () => "https://simulated.kinde.com",
    registry: createRegistry(timestamp, () => undefined),
    events: createEvents(timestamp),
    faults,
    tornReads: createTornReads(world, faults),
  };
  return { world, actions: createKindeActions(world, "admin", emit), routes: managementRoutes(deps) };
}

// The maps' entries are replaced and never changed, except roles, whose permissions are replaced as a list.
function copyCatalogue(catalogue: Catalogue): Catalogue {
  return {
    ...catalogue,
    organizations: new Map(catalogue.organizations),
    roles: new Map([...catalogue.roles].map(([id, role]) => [id, { ...role, permissionIds: [...role.permissionIds] }])),
    permissions: new Map(catalogue.permissions),
    properties: new Map(catalogue.properties),
    organizationDetails: new Map(
      [...catalogue.organizationDetails].map(([code, details]) => [code, structuredClone(details)]),
    ),
    featureFlags: new Map(catalogue.featureFlags),
  };
}

const patterns = new Map<string, RegExp>();

function patternOf(path: string): RegExp {
  const known = patterns.get(path);
  if (known !== undefined) return known;
  const pattern = new RegExp(`^/api/v1${path.replaceAll(/\{(\w+)\}/g, "(?<$1>[^/]+)")}$`);
  patterns.set(path, pattern);
  return pattern;
}

async function handle(
  routes: readonly Route[],
  { method, path, user }: KindeCall,
  url: URL,
  body: unknown,
): Promise<Reply> {
  if (path === "/oauth2/token") return json({ access_token: "simulated", expires_in: 86_400, token_type: "bearer" });
  for (const route of routes) {
    if (route.method !== method) continue;
    const match = patternOf(route.path).exec(path);
    if (match === null) continue;
    const call: ApiCall = {
      target: { path, method, user },
      param: (name) => decodeURIComponent(match.groups?.[name] ?? ""),
      query: (name) => url.searchParams.get(name) || undefined,
      searchParams: () => url.searchParams,
      body: async (schema) => {
        const parsed = schema.safeParse(body);
        if (parsed.success) return parsed.data;
        throw new BadRequest("invalid body");
      },
    };
    try {
      return await route.handle(call);
    } catch (error) {
      const reply = failureOf(error);
      if (reply === undefined) throw error;
      return reply;
    }
  }
  return failure(404, "ROUTE_NOT_FOUND", "There is no such route.");
}

function bodyOf(path: string, body: string | undefined): unknown {
  return body !== undefined && path.startsWith("/api/") ? JSON.parse(body) : undefined;
}

function respond({ status, body, headers }: Reply): FetchAnswer {
  const chunks = [Buffer.from(body)];
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: { get: (name) => headers[name] ?? null },
    body: {
      cancel: async () => undefined,
      async *[Symbol.asyncIterator]() {
        yield* chunks;
      },
    },
  };
}
