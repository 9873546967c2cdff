import { isDeepStrictEqual } from "node:util";
import type { KindeActions } from "kinde-emulator";
import definitions from "../../kindling.flags.ts";
import type { Fetch } from "../../src/fetch.ts";
import { readFigures, type SweepStatus } from "../../src/status/read-status.ts";
import { expected, parseHeld } from "../support/comparison.ts";
import { admit, configOf, prefix, type Ready, startProcess } from "./sim/deployment.ts";
import { type SimulatedGlobals, turn } from "./sim/globals.ts";
import { createSimulatedKinde } from "./sim/kinde.ts";
import { createNetwork, type Network } from "./sim/network.ts";
import { createRandom } from "./sim/random.ts";
import { decode } from "./sim/resp.ts";
import { createSimulatedRedis } from "./sim/simulated-redis.ts";
import { createTimeline, type Timeline } from "./sim/timeline.ts";
import { openSimulation } from "./simulation.ts";

/** How long readers had the state before a change, in simulated milliseconds; `null` if they still have it. */
type Waited = number | null;

/** What a deployment with default settings comes to, on a network and a Kinde that keep pace. */
export interface Freshness {
  /** By the kind of event. */
  events: Record<string, Waited>;
  /** An event whose user Kinde's copies still show as before. */
  lagging: Waited;
  /** Whether the record has the written value when the call returns. */
  written: boolean;
  /** Changes without an event, each at several moments between two sweeps. */
  unannounced: Record<"edit" | "import" | "suspension" | "departure" | "lost webhook", Waited[]>;
  deleted: Waited;
  grants: Record<"role" | "permission that a flag reads" | "other permission" | "plan", Waited>;
  /** After two minutes of sweeps, and after the user's next refresh, by its cause. */
  phone: Record<string, { swept: Waited; refreshed: Waited }>;
  /** What `kindling status` states in the end. */
  stated: Pick<SweepStatus, "bound" | "walks">;
}

/** Time that Kinde takes to answer a call, in milliseconds. */
const answerMs = 100;
const minute = 60_000;

const simulation = await openSimulation();
const timeline = steady(createTimeline(1, turn, () => undefined));
const random = createRandom(1);
const connect = () => network.connect() as unknown as ReturnType<SimulatedGlobals["connect"]>;
simulation.install({ timeline, random, connect }, (error) => {
  console.error(error);
  process.exit(1);
});
const redis = await createSimulatedRedis(simulation.redis, timeline, simulation.loaded);
let commits = 0;
/** When the last commit of each user was, in microseconds. */
const committedAt = new Map<string, number>();
const network: Network = createNetwork({
  timeline,
  redis,
  onExecuted: (_actor, _commands, { messages }) => {
    for (const { channel } of messages) {
      const [, id] = /:commits:\{(\w+)\}$/.exec(channel) ?? [];
      if (id === undefined) continue;
      commits += 1;
      committedAt.set(id, timeline.now);
    }
  },
});
let muted = true;
const nothing = () => undefined;
const kinde = createSimulatedKinde({
  timeline,
  random,
  onEvent: (event) => {
    const { ready, actor } = server;
    if (!muted && ready !== undefined) timeline.after(0, () => void admit(ready, event), actor);
  },
  onChange: nothing,
  onCall: nothing,
  onAnswer: nothing,
  onEnd: nothing,
});
const fetchInTime: Fetch = async (...request) => {
  await new Promise((resolve) => setTimeout(resolve, answerMs));
  return kinde.fetch(...request);
};
const start = (name: string, workers: boolean) =>
  startProcess(name, { timeline, network, fetch: fetchInTime, settings: { env: {}, definitions, workers } });
const server = start("server", false);
start("worker", true);

const organization = kinde.change((actions) => {
  const { code } = actions.createOrganization();
  for (const permission of ["admin:access", "reports:read"]) actions.createPermission(permission);
  actions.createRole("editor", ["reports:read"]);
  return code;
});
const users = kinde
  .change((actions) =>
    actions.importUsers(
      Array.from({ length: 40 }, (_, index) => ({
        phone: `+4915100000${String(index).padStart(2, "0")}`,
        organizations: [organization],
      })),
    ),
  )
  .map(({ id }) => id);
kinde.change((actions) => actions.assignPlan(users[0] ?? "", "pro"));

console.log(JSON.stringify(await play()));
await simulation.close();
process.exit(0);

async function play(): Promise<Freshness> {
  await until(isComplete, 5 * minute);
  // From here on, no record is so young that a sweep would attribute a difference to the search.
  await run(3 * minute);
  const gone = next();
  const deletedAt = timeline.now;
  silently((actions) => actions.deleteUser(gone, { silent: true }));
  const unannounced = await playUnannounced();
  const grants = await playGrants();
  const phone = await playPhone();
  await until(() => matches(gone), 15 * minute);
  const deleted = (await matches(gone)) ? ((committedAt.get(gone) ?? Number.NaN) - deletedAt) / 1000 : null;
  const events = await playEvents();
  const lagging = await playLagging();
  const written = await playWrite();
  const { sweep } = await inServer(({ store }) => readFigures(store, configOf({}), Date.now()));
  const stated = { bound: sweep.bound, walks: sweep.walks };
  return { events, lagging, written, unannounced, deleted, grants, phone, stated };
}

async function playEvents(): Promise<Freshness["events"]> {
  const changes: Record<string, (actions: KindeActions, id: string) => unknown> = {
    "sign-in": (actions, id) => actions.signIn(id),
    "suspension, if it sends one": (actions, id) => actions.suspendUser(id),
    roles: (actions, id) => actions.setRoles(id, organization, ["editor"]),
    deletion: (actions, id) => actions.deleteUser(id),
  };
  const waited: Freshness["events"] = {};
  for (const [name, change] of Object.entries(changes)) {
    const id = next();
    announced((actions) => change(actions, id));
    waited[name] = await until(() => matches(id), minute);
  }
  const { id } = announced((actions) => actions.createUser());
  waited["sign-up"] = await until(() => matches(id), minute);
  return waited;
}

async function playLagging(): Promise<Waited> {
  const id = next();
  // All copies show the state of eight seconds ago, for eight seconds.
  const micros = 8_000_000;
  const everywhere = { matches: () => true, until: timeline.now + micros, left: Number.POSITIVE_INFINITY };
  kinde.addFault({ ...everywhere, effect: { kind: "lag", micros } });
  announced((actions) => actions.suspendUser(id));
  return until(() => matches(id), 5 * minute);
}

async function playWrite(): Promise<boolean> {
  const id = next();
  const call = { priority: "webhook", signal: new AbortController().signal } as const;
  await inServer(({ flows }) => flows.setProperties(id, { plan_tier: "pro" }, call));
  return (await held(id)).flags?.tier === "pro";
}

async function playUnannounced(): Promise<Freshness["unannounced"]> {
  const changes: Record<keyof Freshness["unannounced"], (actions: KindeActions) => string> = {
    edit: (actions) => {
      const id = next();
      actions.setProperties(id, { plan_tier: "enterprise" });
      return id;
    },
    import: (actions) => actions.importUsers([{ properties: { plan_tier: "pro" } }])[0]?.id ?? "",
    suspension: (actions) => {
      const id = next();
      actions.suspendUser(id, true, { silent: true });
      return id;
    },
    departure: (actions) => {
      const id = next();
      actions.removeFromOrganization(id, organization, { silent: true });
      return id;
    },
    "lost webhook": (actions) => {
      const id = next();
      actions.updateUser(id, { firstName: "Ada" });
      return id;
    },
  };
  const waited: Freshness["unannounced"] = { edit: [], import: [], suspension: [], departure: [], "lost webhook": [] };
  for (const name of ["edit", "import", "suspension", "departure", "lost webhook"] as const) {
    for (const afterMs of [3_000, 11_000, 19_000]) {
      await run(afterMs);
      const id = silently(changes[name]);
      waited[name].push(await until(() => matches(id), 5 * minute));
    }
  }
  return waited;
}

async function playGrants(): Promise<Freshness["grants"]> {
  const wait = async (change: (actions: KindeActions, id: string) => void) => {
    const id = next();
    silently((actions) => change(actions, id));
    return until(() => matches(id), 10 * minute);
  };
  const customer = users[0] ?? "";
  silently((actions) => actions.changePlan(customer, "team"));
  return {
    plan: await until(() => matches(customer), 10 * minute),
    role: await wait((actions, id) => actions.setRoles(id, organization, ["editor"])),
    "permission that a flag reads": await wait((actions, id) =>
      actions.setPermissions(id, organization, ["admin:access"]),
    ),
    "other permission": await wait((actions, id) => actions.setPermissions(id, organization, ["reports:read"])),
  };
}

async function playPhone(): Promise<Freshness["phone"]> {
  const causes: Record<string, (id: string) => void> = {
    "sign-in": (id) => announced((actions) => actions.signIn(id)),
    "an update": (id) => announced((actions) => actions.updateUser(id, { firstName: "Ada" })),
    "a sweep that finds another difference": (id) =>
      silently((actions) => actions.setProperties(id, { plan_tier: "pro" })),
  };
  const ids = Object.fromEntries(Object.keys(causes).map((name) => [name, next()]));
  silently((actions) => {
    for (const id of Object.values(ids)) actions.updateUser(id, { phone: `+4917${id.replace(/\D/g, "").slice(0, 8)}` });
  });
  await run(2 * minute);
  const waited: Freshness["phone"] = {};
  for (const [name, cause] of Object.entries(causes)) {
    const id = ids[name] ?? "";
    const swept = (await matches(id)) ? 0 : null;
    cause(id);
    waited[name] = { swept, refreshed: await until(() => matches(id), 5 * minute) };
  }
  return waited;
}

/** A user that nothing has happened to yet. */
function next(): string {
  const id = users.pop();
  if (id === undefined) throw new Error("There are no users left: import more.");
  return id;
}

function announced<T>(make: (actions: KindeActions) => T): T {
  muted = false;
  const made = kinde.change(make);
  muted = true;
  return made;
}

function silently<T>(make: (actions: KindeActions) => T): T {
  return kinde.change(make);
}

async function matches(id: string): Promise<boolean> {
  return isDeepStrictEqual(comparable(await held(id)), comparable(expected(kinde.actions.user(id))));
}

function comparable(user: ReturnType<typeof expected>): unknown {
  return JSON.parse(JSON.stringify(user));
}

async function held(id: string) {
  const { replies } = await redis.execute([["MGET", `${prefix}:flags:{${id}}`, `${prefix}:profile:{${id}}`]]);
  const [record = null, profile = null] = decode(replies[0] ?? Buffer.from("*0\r\n")) as (string | null)[];
  return parseHeld(record, profile);
}

async function isComplete(): Promise<boolean> {
  const { replies } = await redis.execute([["EXISTS", `${prefix}:flags:complete`]]);
  return decode(replies[0] ?? Buffer.from(":0\r\n")) === 1;
}

async function run(ms: number): Promise<void> {
  await timeline.runUntil(() => false, { micros: ms * 1000, steps: Number.POSITIVE_INFINITY });
}

/** Runs until a condition holds, which only a commit can bring about. */
async function until(holds: () => Promise<boolean>, longestMs: number): Promise<Waited> {
  const began = timeline.now;
  const end = began + longestMs * 1000;
  while (!(await holds())) {
    const before = commits;
    const limit = { micros: end - timeline.now, steps: Number.POSITIVE_INFINITY };
    if (!(await timeline.runUntil(() => commits > before, limit))) return (await holds()) ? longestMs : null;
  }
  return (timeline.now - began) / 1000;
}

async function inServer<T>(work: (ready: Ready) => Promise<T>): Promise<T> {
  const { ready, actor } = server;
  if (ready === undefined) throw new Error("The server has not started.");
  const done: { value?: T } = {};
  timeline.after(
    0,
    () =>
      void work(ready).then((value) => {
        done.value = value;
      }),
    actor,
  );
  const ended = await timeline.runUntil(() => "value" in done, { micros: minute * 1000, steps: 1_000_000 });
  if (!ended) throw new Error("The server did not answer within a minute.");
  return done.value as T;
}

/** A timeline whose processes never meet the long delays that schedules are full of. */
function steady(of: Timeline): Timeline {
  const createActor: Timeline["createActor"] = (name) => {
    const actor = of.createActor(name);
    const middle = { chance: () => false, below: (limit: number) => Math.floor(limit / 2) };
    return { ...actor, random: { ...actor.random, ...middle } };
  };
  return Object.create(of, { createActor: { value: createActor } }) as Timeline;
}
