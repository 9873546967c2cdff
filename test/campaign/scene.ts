import type { EventPayload } from "../../packages/kinde-emulator/src/webhooks/events.ts";
import { definitions } from "./definitions.ts";
import { admit, type ManagedProcess, type ProcessSettings, startProcess } from "./sim/deployment.ts";
import { createSimulatedKinde, type SimulatedKinde } from "./sim/kinde.ts";
import type { Network } from "./sim/network.ts";
import { createRandom, deriveSeed, type Random } from "./sim/random.ts";
import type { SimulatedRedis } from "./sim/simulated-redis.ts";
import type { Timeline } from "./sim/timeline.ts";
import type { Watcher } from "./watcher.ts";

/** Everything that one schedule plays with. */
export interface Scene {
  timeline: Timeline;
  redis: SimulatedRedis;
  network: Network;
  kinde: SimulatedKinde;
  watcher: Watcher;
  random: Random;
  server: ManagedProcess;
  /** Two workers, or one twice. */
  workers: readonly [ManagedProcess, ManagedProcess];
  /** Ids by slot; a deleted user keeps the slot. */
  users: (string | undefined)[];
  organizations: string[];
  roles: string[];
  permissions: string[];
  settings: SceneSettings;
  deliveries: Deliveries;
}

/** What differs from schedule to schedule. */
export interface SceneSettings {
  callsPerMinute: number;
  /** Age at which parts that no listing shows are fetched again, in milliseconds. */
  extrasMaxAgeMs: number;
  callsAtOnce: number;
  absenceLimit: number;
}

/** How Kinde treats its deliveries. */
export interface Deliveries {
  /** The next deliveries to lose, to repeat, to delay, and whose acknowledgement to lose. */
  lose: number;
  repeat: number;
  delay: number;
  loseAnswer: number;
  /** Deliveries that are not acknowledged yet. */
  pending: number;
  /** Nothing is sent. */
  muted: boolean;
}

/** Users of one schedule at the same time. */
export const userSlots = 4;

/** Times of the deployment, in milliseconds, far shorter than in operation. */
export const times = {
  settleMs: 2_000,
  indexLagMs: 1_000,
  watchMs: 4_000,
  retryMaxMs: 2_000,
  failedRetryMs: 5_000,
  absenceSpanMs: 4_000,
  kindeTimeoutMs: 3_000,
  redisTimeoutMs: 2_000,
} as const;

/** Returns the settings of the deployment's processes. */
export function environmentOf({
  callsPerMinute,
  callsAtOnce,
  absenceLimit,
  extrasMaxAgeMs,
}: SceneSettings): Record<string, string> {
  const ms = (time: number) => `${time}ms`;
  return {
    KINDLING_RETRY_BASE: "100ms",
    KINDLING_RETRY_MAX: ms(times.retryMaxMs),
    KINDLING_FAILED_RETRY: ms(times.failedRetryMs),
    KINDLING_BURST_QUIET: "50ms",
    KINDLING_BURST_MAX: "400ms",
    KINDLING_WATCH_INTERVAL: ms(times.watchMs),
    KINDLING_WRITE_SETTLE: ms(times.settleMs),
    KINDLING_INDEX_LAG: ms(times.indexLagMs),
    KINDLING_KINDE_TIMEOUT: ms(times.kindeTimeoutMs),
    KINDLING_REDIS_TIMEOUT: ms(times.redisTimeoutMs),
    KINDLING_ABSENCE_SPAN: ms(times.absenceSpanMs),
    KINDLING_ABSENCE_LIMIT: String(absenceLimit),
    KINDLING_EXTRAS_MAX_AGE: ms(extrasMaxAgeMs),
    KINDLING_SWEEP_PAGE_SIZE: "2",
    KINDLING_SWEEP_INTERVAL: "1h",
    KINDLING_AUDIT_INTERVAL: "0s",
    KINDLING_RECENT_INTERVAL: "300ms",
    KINDLING_CALLS_PER_MINUTE: String(callsPerMinute),
    KINDLING_CALLS_AT_ONCE: String(callsAtOnce),
  };
}

/** Returns the settings of a worker or server of the usual release. */
export function usualSettings(settings: SceneSettings, workers: boolean): ProcessSettings {
  return { env: environmentOf(settings), definitions, workers };
}

/** Options for {@link createScene}. */
export interface SceneOptions {
  seed: number;
  secondWorker: boolean;
  timeline: Timeline;
  redis: SimulatedRedis;
  network: Network;
  watcher: Watcher;
}

/** Creates tenant and deployment. The processes start with the timeline. */
export function createScene({ seed, secondWorker, timeline, redis, network, watcher }: SceneOptions): Scene {
  const draws = createRandom(deriveSeed(seed, "settings"));
  const tight = draws.chance(0.25);
  const settings: SceneSettings = {
    callsPerMinute: tight ? 120 : 6_000,
    callsAtOnce: tight ? 3 : 20,
    absenceLimit: draws.chance(0.15) ? 2 : 0,
    // The budget must suffice for fetching everybody at this age, or the work never ends.
    extrasMaxAgeMs: tight ? 40_000 : 8_000,
  };
  const random = createRandom(deriveSeed(seed, "scene"));
  const deliveries: Deliveries = { lose: 0, repeat: 0, delay: 0, loseAnswer: 0, pending: 0, muted: false };
  const kinde = createSimulatedKinde({
    timeline,
    random,
    onEvent: (event) => deliver(event),
    onChange: () => watcher.noteTruth(kinde.actions),
    onCall: watcher.onCall,
    onAnswer: watcher.onAnswer,
    onEnd: watcher.onEnd,
  });
  const start = (name: string, workers: boolean) =>
    startProcess(name, { timeline, network, fetch: kinde.fetch, settings: usualSettings(settings, workers) });
  const server = start("server", false);
  const first = start("worker-a", true);
  // A second one costs time, and most races need only one.
  const second = secondWorker ? start("worker-b", true) : first;
  const workers = [first, second] as const;

  const deliver = (event: EventPayload) => {
    if (deliveries.muted) return;
    if (deliveries.lose > 0) {
      deliveries.lose -= 1;
      watcher.noteSilence();
      return;
    }
    const copies = deliveries.repeat > 0 ? 2 : 1;
    if (copies > 1) deliveries.repeat -= 1;
    for (let copy = 0; copy < copies; copy += 1) attempt(event, deliveryDelay(), 0);
  };
  const deliveryDelay = () => {
    if (deliveries.delay === 0) return 500 + random.below(20_000);
    deliveries.delay -= 1;
    return 1000 * random.below(3_000);
  };
  // Kinde delivers again until it hears an answer.
  const attempt = (event: EventPayload, delay: number, attempts: number) => {
    if (attempts === 0) deliveries.pending += 1;
    let heard = false;
    const { actor, ready } = server;
    if (ready !== undefined) {
      const run = () => {
        admit(ready, event).then(
          () => {
            watcher.noteAcknowledged(event.event_id);
            if (deliveries.loseAnswer > 0) deliveries.loseAnswer -= 1;
            else heard = true;
          },
          () => undefined,
        );
      };
      timeline.after(delay, run, actor);
    }
    timeline.outside(delay + 4_500_000, () => {
      if (heard) deliveries.pending -= 1;
      else attempt(event, 1000 * random.below(1_000), attempts + 1);
    });
  };

  const scene: Scene = {
    timeline,
    redis,
    network,
    kinde,
    watcher,
    random,
    server,
    workers,
    users: Array.from({ length: userSlots }, () => undefined),
    organizations: [],
    roles: ["viewer", "editor"],
    permissions: ["admin:access", "reports:read"],
    settings,
    deliveries,
  };
  populate(scene);
  return scene;
}

// Before the processes run, so that their first sweep finds these users.
function populate(scene: Scene): void {
  const { kinde, users, organizations, roles, permissions, deliveries, watcher } = scene;
  deliveries.muted = true;
  kinde.actions.createOrganization();
  organizations.push(kinde.actions.createOrganization().code, kinde.actions.createOrganization().code);
  for (const permission of permissions) kinde.actions.createPermission(permission);
  kinde.actions.createRole(roles[0] ?? "", []);
  kinde.actions.createRole(roles[1] ?? "", permissions);
  for (const slot of [0, 1]) {
    const organization = { code: organizations[slot] ?? "", roles: [roles[1] ?? ""] };
    const [user] = kinde.actions.importUsers([{ properties: { plan_tier: "pro" }, organizations: [organization] }]);
    users[slot] = user?.id;
  }
  // Bystanders: more than one page of users whose absence nobody would believe.
  const bystanders = kinde.actions.importUsers([{}, {}, {}].map(() => ({ organizations: [] })));
  watcher.noteBystanders(bystanders.map(({ id }) => id));
  kinde.change(() => undefined);
  deliveries.muted = false;
}
