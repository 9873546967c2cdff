import { createHash } from "node:crypto";
import type { TruthUser } from "../../packages/kinde-emulator/src/truth-types.ts";
import type { KeptProfile } from "../../src/kinde/keep-parts.ts";
import { parseHeld } from "../support/comparison.ts";
import { definitions, denyAfterMs } from "./definitions.ts";
import { processFaults, resumeQueues } from "./faults.ts";
import { createScene, type Scene, times, usualSettings } from "./scene.ts";
import { faultNames, perform, type Step } from "./schedule.ts";
import { prefix } from "./sim/deployment.ts";
import { real, type SimulatedGlobals, turn } from "./sim/globals.ts";
import { createNetwork, type Network } from "./sim/network.ts";
import { createRandom, deriveSeed } from "./sim/random.ts";
import type { RealRedis } from "./sim/real-redis.ts";
import { decode } from "./sim/resp.ts";
import { createSimulatedRedis, type LoadedScripts } from "./sim/simulated-redis.ts";
import { createTimeline } from "./sim/timeline.ts";
import { type Install, openSimulation } from "./simulation.ts";
import { expected } from "./truth.ts";
import { createWatcher, type Violation } from "./watcher.ts";

/** The result of one schedule. */
export interface Outcome {
  violation: Violation | undefined;
  /** Digest of everything that processes and Redis said to each other: equal for equal seeds. */
  trace: string;
  /** Simulated milliseconds. */
  ms: number;
  roundTrips: number;
  /** Number of times each kind of fault was brought about. */
  faults: Partial<Record<string, number>>;
}

/** Plays schedules, one at a time. */
export interface Player {
  play(seed: number, steps: readonly Step[], options?: PlayOptions): Promise<Outcome>;
  close(): Promise<void>;
}

/** Options for {@link Player.play}. */
export interface PlayOptions {
  /** Receives a line for each round trip and step. */
  onLine?: (line: string) => void;
  /** Plays at another pace of real time, which must change nothing. Default: false */
  slow?: boolean;
}

/** Creates the player of this process, whose globals it replaces for good. */
export async function createPlayer(): Promise<Player> {
  const { redis, loaded, install, close } = await openSimulation();
  return {
    play(seed, steps, { onLine, slow = false } = {}) {
      redis.slow = slow;
      return playOne({ redis, loaded, seed, steps, onLine }, install);
    },
    close,
  };
}

interface Schedule {
  redis: RealRedis;
  loaded: LoadedScripts;
  seed: number;
  steps: readonly Step[];
  onLine: ((line: string) => void) | undefined;
}

/** Limits beyond which a schedule counts as one that does not come to rest. */
const longestMicros = 150_000_000;
const mostSteps = 60_000;

async function playOne(
  { redis: realRedis, loaded, seed, steps, onLine }: Schedule,
  install: Install,
): Promise<Outcome> {
  const timeline = createTimeline(seed, turn, () => undefined);
  const startedAt = timeline.now;
  const trace = createHash("sha1");
  let roundTrips = 0;
  let network: Network | undefined;
  const connect = () => {
    if (network === undefined) throw new Error("There is no network yet.");
    // Has all that ioredis uses of a socket.
    return network.connect() as unknown as ReturnType<SimulatedGlobals["connect"]>;
  };
  const globals = { timeline, random: createRandom(deriveSeed(seed, "globals")), connect };
  install(globals, (error) =>
    watcher.fail("no rejection goes unhandled", String(error instanceof Error ? error.stack : error)),
  );
  const redis = await createSimulatedRedis(realRedis, timeline, loaded);
  const watcher = createWatcher({
    timeline,
    redis,
    callsPerMinute: () => scene.settings.callsPerMinute,
    callsAtOnce: () => scene.settings.callsAtOnce,
    denyAfterMs,
    settleMs: times.settleMs,
  });
  network = createNetwork({
    timeline,
    redis,
    onExecuted: (actor, commands, effects) => {
      roundTrips += 1;
      trace.update(`${timeline.now} ${actor.name} ${JSON.stringify(commands)}`);
      for (const bytes of effects.replies) trace.update(bytes);
      onLine?.(describe(timeline.now - startedAt, actor.name, commands, effects.replies));
      return watcher.onExecuted(actor, commands, effects);
    },
  });
  const scene = createScene({ seed, secondWorker: needsSecondWorker(seed, steps), timeline, redis, network, watcher });
  const faults: Outcome["faults"] = {};
  const failed = () => watcher.violation !== undefined;
  const run = (ms: number) => timeline.runUntil(failed, { micros: ms * 1000, steps: mostSteps });

  await run(2_500);
  for (const step of steps) {
    await run(step.afterMs);
    if (failed()) break;
    onLine?.(`— ${JSON.stringify(step)}`);
    if (faultNames.includes(step.action as (typeof faultNames)[number]))
      faults[step.action] = (faults[step.action] ?? 0) + 1;
    timeline.outside(0, () => perform(scene, step));
  }
  if (!failed()) await judge(scene, failed);
  return {
    violation: watcher.violation,
    trace: trace.digest("hex"),
    ms: (timeline.now - startedAt) / 1000,
    roundTrips,
    faults,
  };
}

function needsSecondWorker(seed: number, steps: readonly Step[]): boolean {
  return seed % 4 === 0 || steps.some(({ action }) => processFaults.has(action));
}

/** Ends all faults, waits until no work is left, and compares every user with Kinde. */
async function judge(scene: Scene, failed: () => boolean): Promise<void> {
  const { timeline, watcher, network, kinde, redis, workers, server, settings, deliveries } = scene;
  const end = timeline.now + longestMicros;
  const run = (ms: number) => timeline.runUntil(failed, { micros: ms * 1000, steps: mostSteps });
  const until = async (condition: () => Promise<boolean>, stepMs: number) => {
    while (!failed()) {
      await run(stepMs);
      if (await condition()) return true;
      if (timeline.now > end) return false;
    }
    return false;
  };

  // What was planned for later still happens.
  await run(4_500);
  kinde.heal();
  network.heal();
  redis.setFull(false);
  await resumeQueues(scene);
  Object.assign(deliveries, { lose: 0, repeat: 0, delay: 0, loseAnswer: 0 });
  for (const { actor } of [server, ...workers]) actor.aheadMs = 0;
  if (redis.offsetMs !== 0) redis.setClock(0);
  if (watcher.silent) workers[1].replace(usualSettings(settings, true));
  const atRest = async () => (await outstanding(scene)).length === 0;
  if (!(await until(atRest, 1_000))) {
    if (!failed())
      watcher.fail("everything acknowledged is reflected", `Left over: ${(await outstanding(scene)).join(", ")}`);
    return;
  }
  // Users without an event are held once a walk has filled the store.
  if (!watcher.silent && (await isComplete(scene))) {
    await compare(scene);
    return;
  }
  // Profile parts that no listing shows are fetched again only at this age.
  await run(settings.extrasMaxAgeMs);
  for (let sweeps = 0; sweeps < 3 && !failed(); sweeps += 1) await sweep(scene, until);
  const settled = async () => (await atRest()) && (await count(scene, [`{${prefix}:ledger}:absences:due`])) === 0;
  if (!(await until(settled, 1_000))) {
    if (!failed())
      watcher.fail("everything a sweep finds is reflected", `Left over: ${(await outstanding(scene)).join(", ")}`);
    return;
  }
  if (!(await isComplete(scene))) watcher.fail("completeness is earned", "Three sweeps found nothing missing");
  await compare(scene);
}

async function sweep(scene: Scene, until: (condition: () => Promise<boolean>, stepMs: number) => Promise<boolean>) {
  const { redis, server, timeline, watcher } = scene;
  const last = async () => {
    const { replies } = await redis.execute([["GET", `{${prefix}:ledger}:sweep:last`]]);
    return String(decode(replies[0] ?? Buffer.from("$-1\r\n")));
  };
  const before = await last();
  const finished = async () => {
    if ((await last()) !== before) return true;
    const { ready, actor } = server;
    if (ready !== undefined)
      timeline.after(0, () => void ready.store.queues.enqueueSweep().catch(() => undefined), actor);
    return false;
  };
  if (!(await until(finished, 500))) watcher.fail("sweeps complete", "A sweep does not end");
}

async function isComplete({ redis }: Scene): Promise<boolean> {
  const { replies } = await redis.execute([["EXISTS", `${prefix}:flags:complete`]]);
  return decode(replies[0] ?? Buffer.from(":0\r\n")) === 1;
}

async function count({ redis }: Scene, keys: readonly string[]): Promise<number> {
  const { replies } = await redis.execute(keys.map((key) => ["ZCARD", key]));
  return replies.reduce((sum, bytes) => sum + Number(decode(bytes)), 0);
}

/** Describes the work that is left: deliveries, members of the ledgers, users to confirm, and jobs. */
async function outstanding({ redis, deliveries }: Scene): Promise<string[]> {
  const ledgers = [`${prefix}:ledger`, `{${prefix}:ledger}:fanouts`, `{${prefix}:ledger}:confirm`];
  const queues = ["refresh", "bulk", "confirm", "fanout", "requests"];
  const lists = queues.flatMap((name) => ["wait", "active", "paused"].map((part) => `{${prefix}}:${name}:${part}`));
  const sets = queues.flatMap((name) => ["delayed", "prioritized"].map((part) => `{${prefix}}:${name}:${part}`));
  const { replies } = await redis.execute([
    ...[...ledgers, ...sets].map((key) => ["ZRANGE", key, "0", "-1"]),
    ...lists.map((key) => ["LRANGE", key, "0", "-1"]),
  ]);
  const deliver = deliveries.pending > 0 ? [`${deliveries.pending} deliveries`] : [];
  const left = [...ledgers, ...sets, ...lists].flatMap((key, index) => {
    const members = decode(replies[index] ?? Buffer.from("*0\r\n"));
    return Array.isArray(members) ? members.map((member) => `${key} ${String(member)}`) : [];
  });
  return [...deliver, ...left];
}

async function compare({ redis, kinde, watcher }: Scene): Promise<void> {
  const ids = new Set([...watcher.everyone(), ...kinde.actions.userIds()]);
  for (const id of ids) {
    const { replies } = await redis.execute([["MGET", `${prefix}:flags:{${id}}`, `${prefix}:profile:{${id}}`]]);
    const [record, profile] = decode(replies[0] ?? Buffer.from("*0\r\n")) as (string | null)[];
    const truth = kinde.actions.user(id);
    // A user created and deleted between sweeps needs no record, and neither does one whose tombstone was lost.
    if (truth === undefined && watcher.silent && record === null) continue;
    const user = parseHeld(record ?? null, profile ?? null);
    const unbounded = [
      // A sign-in is not confirmed: a copy that lags hides its time and count until the next refresh.
      ...(watcher.lagging ? ["totalSignIns", "lastSignedIn"] : []),
      // No listing shows new billing customers: without their event, they follow the next refresh.
      ...(watcher.silent && isNewCustomer(truth, profile) ? ["billing"] : []),
    ];
    const bounded = (name: string, value: unknown) => (unbounded.includes(name) ? undefined : value);
    const found = JSON.stringify(user, bounded);
    const wanted = JSON.stringify(expected(truth), bounded);
    // Nobody rewrites the tombstones of another release: readers answer a deleted user with their own defaults.
    if (truth === undefined && user.status === "deleted" && !record?.includes(definitions.schema)) continue;
    if (sortedJson(found) !== sortedJson(wanted)) {
      watcher.fail("Redis matches Kinde in the end", `${id} is held as ${record} ${profile}, but should be ${wanted}`);
      return;
    }
  }
}

function isNewCustomer(truth: TruthUser | undefined, profile: string | null | undefined): boolean {
  if (!truth?.billing || !profile) return false;
  return (JSON.parse(profile) as KeptProfile).billing.customerId === null;
}

function sortedJson(text: string): string {
  return JSON.stringify(JSON.parse(text), (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

function describe(micros: number, actor: string, commands: readonly string[][], replies: readonly Buffer[]): string {
  const short = (text: string) => text.slice(0, 80).replaceAll(/\s+/g, " ");
  const sent = commands.map((command) => command.slice(0, 7).map(short).join(" ")).join(" | ");
  return `${(micros / 1000).toFixed(1)} ${actor} ${sent} → ${replies.map((bytes) => short(bytes.toString())).join(" ")}`;
}

/** The real clock, for figures about the campaign itself. Milliseconds. */
export const elapsed = real.performanceNow;
