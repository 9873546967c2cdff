import { userOf } from "./changes.ts";
import { otherDefinitions } from "./definitions.ts";
import { environmentOf, type Scene, times, usualSettings } from "./scene.ts";
import type { Step } from "./schedule.ts";
import { prefix, startProcess } from "./sim/deployment.ts";
import type { KindeCall, KindeEffect } from "./sim/kinde.ts";

/** Something that goes wrong. Every fault ends by itself, or when the schedule heals. */
type Fault = (scene: Scene, step: Step) => unknown;

const second = 1_000_000;

/** A fault of calls about one user, or to any route that matches. */
const ofCalls =
  (effect: (choice: number, user: string) => KindeEffect, matches: (call: KindeCall) => boolean = () => true): Fault =>
  (scene, step) => {
    const user = userOf(scene, step);
    if (user === undefined) return;
    scene.watcher.noteDisturbance();
    scene.kinde.addFault({
      matches: (call) => call.user === user && matches(call),
      effect: effect(step.choice, user),
      until: scene.timeline.now + 3 * second,
      left: 1 + (step.choice % 4),
    });
  };

/** A fault of all calls that match, for a while. */
const ofRoutes =
  (effect: (choice: number) => KindeEffect, matches: (call: KindeCall) => boolean): Fault =>
  (scene, { choice }) => {
    scene.watcher.noteDisturbance();
    const until = scene.timeline.now + second * (0.3 + (choice % 5) / 2);
    scene.kinde.addFault({ matches, effect: effect(choice), until, left: 100 });
  };

const isApi = ({ path }: KindeCall) => path.startsWith("/api/");
const isSearch = ({ path }: KindeCall) => path === "/api/v1/search/users";
const isUser = ({ path }: KindeCall) => path === "/api/v1/user";
const aboutUser = /^\/api\/v1\/(user$|users\/kp_|organizations\/\w+\/users\/kp_|billing\/)/;

/** Faults of Kinde, or of what answers for it. */
const kinde = {
  notFound: ofRoutes(() => ({ kind: "status", status: 404 }), isUser),
  badRequest: ofCalls(() => ({ kind: "status", status: 400 }), isUser),
  forbidden: ofRoutes(() => ({ kind: "status", status: 403 }), isApi),
  serverError: ofCalls((choice) => ({ kind: "status", status: choice % 2 === 0 ? 500 : 503 })),
  gatewayPage: ofRoutes((choice) => ({ kind: "html", status: choice % 2 === 0 ? 200 : 502 }), isApi),
  hang: ofCalls(() => ({ kind: "hang" })),
  reset: ofCalls(() => ({ kind: "reset" })),
  truncated: ofCalls(
    () => ({ kind: "truncate" }),
    ({ method }) => method === "GET",
  ),
  throttledUser: ofCalls((choice) => ({ kind: "throttle", seconds: 1 + (choice % 6) })),
  throttledFleet: ofRoutes((choice) => ({ kind: "throttle", seconds: 1 + (choice % 3) }), isApi),
  laggingCopy: (scene, step) => {
    const { watcher, timeline } = scene;
    watcher.noteLag(times.settleMs * 0.8);
    // Each route has a copy of its own.
    const routes = [aboutUser, /\/user$/, /\/properties$/, /\/(roles|permissions)$/];
    const route = routes[step.choice % routes.length] ?? aboutUser;
    const micros = 1000 * (100 + (step.choice % Math.round(times.settleMs * 0.7)));
    scene.kinde.addFault({
      matches: ({ path }) => route.test(path) && aboutUser.test(path),
      effect: { kind: "lag", micros },
      until: timeline.now + 6 * second,
      left: 60,
    });
  },
  laggingIndex: (scene, step) => {
    scene.watcher.noteLag(times.indexLagMs);
    scene.kinde.addFault({
      matches: isSearch,
      effect: { kind: "lag", micros: 1000 * (step.choice % times.indexLagMs) },
      until: scene.timeline.now + 6 * second,
      left: 20,
    });
  },
  shortPages: ofRoutes(() => ({ kind: "shorten" }), isSearch),
  missingMember: (scene, step) => {
    const user = userOf(scene, step);
    if (user === undefined) return;
    // If the fill does not see the user, a later sweep does.
    scene.watcher.noteSilence();
    scene.kinde.addFault({
      matches: ({ path }) => /\/search\/users$|\/organizations\/\w+\/users$/.test(path),
      effect: { kind: "omit", user },
      until: scene.timeline.now + 3 * second,
      left: 5,
    });
  },
} satisfies Record<string, Fault>;

/** Faults of deliveries. */
const deliveries = {
  lostDelivery: ({ deliveries: own }) => {
    own.lose += 1;
  },
  repeatedDelivery: ({ deliveries: own }) => {
    own.repeat += 1;
  },
  lateDelivery: ({ deliveries: own }, { choice }) => {
    own.delay += 1 + (choice % 3);
  },
  lostAnswer: ({ deliveries: own }) => {
    own.loseAnswer += 1;
  },
} satisfies Record<string, Fault>;

const anyWorker = ({ workers }: Scene, choice: number) => workers[choice % 2 === 0 ? 0 : 1];
const anyProcess = (scene: Scene, choice: number) => (choice % 3 === 0 ? scene.server : anyWorker(scene, choice));

/** Faults of Redis and of the way to it. */
const redis = {
  redisRestart: async ({ redis: server, network, timeline, watcher }, { choice }) => {
    watcher.noteDisturbance();
    server.restart();
    network.breakConnections();
    network.refuseUntil(timeline.now + 1000 * (choice % 800));
  },
  /** The replica hears nothing for a while, then takes over. */
  lostSuffix: async ({ redis: server, network, timeline, watcher }, { choice }) => {
    watcher.noteDisturbance();
    await server.fork();
    timeline.outside(1000 * (5 + (choice % 1500)), async () => {
      if (!(await server.failOver())) return;
      watcher.noteLoss();
      network.breakConnections();
    });
  },
  redisClock: ({ redis: server, watcher }, { choice }) => {
    watcher.noteClockStep();
    const steps = [-20_000, -3_000, -400, 400, 3_000, 20_000];
    server.setClock(server.offsetMs + (steps[choice % steps.length] ?? 0));
  },
  workerClock: (scene, { choice }) => {
    scene.watcher.noteClockStep();
    const steps = [-10_000, -1_000, 1_000, 10_000];
    anyProcess(scene, choice).actor.aheadMs = steps[choice % steps.length] ?? 0;
  },
  outOfMemory: ({ redis: server, timeline, watcher }, { choice }) => {
    watcher.noteDisturbance();
    server.setFull(true);
    timeline.outside(1000 * (50 + (choice % 2000)), () => server.setFull(false));
  },
  redisHang: ({ network, timeline, watcher }, { choice }) => {
    watcher.noteDisturbance();
    network.hangUntil(timeline.now + 1000 * (100 + (choice % 3500)));
  },
  /** Commands arrive, answers do not. */
  oneWay: (scene, { choice }) => {
    scene.watcher.noteDisturbance();
    scene.network.holdAnswersUntil(
      scene.timeline.now + 1000 * (500 + (choice % 4000)),
      anyProcess(scene, choice).actor,
    );
  },
  partition: (scene, { choice }) => {
    const { network, timeline, watcher } = scene;
    watcher.noteDisturbance();
    const { actor } = anyProcess(scene, choice);
    network.refuseUntil(timeline.now + 1000 * (choice % 3000), actor);
    network.breakConnections(actor);
  },
  brokenConnection: (scene, { choice }) => {
    scene.watcher.noteDisturbance();
    scene.network.breakConnections(anyProcess(scene, choice).actor);
  },
  flushAll: async ({ redis: server, watcher }) => {
    watcher.noteLoss();
    await server.flushAll();
  },
  flushAgain: async ({ redis: server, watcher, timeline }, { choice }) => {
    for (let index = 0; index < 3; index += 1) {
      timeline.outside(1000 * (choice % 300) * index, async () => {
        watcher.noteLoss();
        await server.flushAll();
      });
    }
  },
  scriptFlush: ({ redis: server }) => server.flushScripts(),
  lostMessages: ({ network, timeline }, { choice }) => network.dropMessagesUntil(timeline.now + 1000 * (choice % 4000)),
} satisfies Record<string, Fault>;

/** Faults of processes, queues and deployments. */
const processes = {
  kill: (scene, { choice }) => {
    scene.watcher.noteDisturbance();
    anyProcess(scene, choice).kill(50 + (choice % 900));
  },
  /** Dies in the middle of one of its next round trips to Redis. */
  killAtRoundTrip: (scene, { choice }) => {
    scene.watcher.noteDisturbance();
    const process = anyProcess(scene, choice);
    scene.network.killAt(process.actor, 1 + (choice % 25), () => process.kill(50 + (choice % 900)));
  },
  /** SIGSTOP, for longer than a job's lock lasts every third time. */
  stop: (scene, { choice }) => {
    scene.watcher.noteDisturbance();
    const { actor } = anyWorker(scene, choice);
    const ms = choice % 3 === 0 ? 22_000 : choice % 5_000;
    actor.stoppedUntil = scene.timeline.now + 1000 * ms;
  },
  pausedQueue: (scene, { choice }) => {
    const { server, timeline } = scene;
    const queue = server.ready?.store.queues[queueNames[choice % queueNames.length] ?? "refresh"];
    if (queue === undefined) return;
    const { actor } = server;
    timeline.after(0, () => void queue.pause().catch(() => undefined), actor);
    // An operator notices, whatever happened to the process meanwhile.
    timeline.outside(1000 * (500 + (choice % 2500)), () => {
      const name = queueNames[choice % queueNames.length] ?? "refresh";
      return resumeQueue(scene, name);
    });
  },
  obliteratedQueue: ({ server, timeline, watcher }, { choice }) => {
    watcher.noteDisturbance();
    const queue = server.ready?.store.queues[queueNames[choice % queueNames.length] ?? "refresh"];
    if (queue === undefined) return;
    timeline.after(0, () => void queue.obliterate({ force: true }).catch(() => undefined), server.actor);
  },
  /** Another release with other definitions, parts and intervals runs beside this one. */
  otherRelease: ({ workers, settings, watcher }, { choice }) => {
    watcher.noteMixedReleases();
    const env = { KINDLING_PROFILE: "account,properties", KINDLING_SWEEP_INTERVAL: "15s" };
    workers[1].replace({
      env: { ...environmentOf(settings), ...(choice % 2 === 0 ? env : {}) },
      definitions: otherDefinitions,
      workers: true,
    });
  },
  rollBack: ({ workers, settings, watcher }) => {
    watcher.noteMixedReleases();
    workers[1].replace(usualSettings(settings, true));
  },
  /** A process of another Kinde tenant starts on the same Redis. */
  otherTenant: ({ settings, watcher, timeline, network, kinde: { fetch } }, { choice }) => {
    const env = { ...environmentOf(settings), KINDE_DOMAIN: "https://another.kinde.com" };
    const stranger = startProcess("stranger", {
      timeline,
      network,
      fetch,
      settings: { ...usualSettings(settings, true), env },
    });
    timeline.outside(1000 * (800 + (choice % 1500)), () => {
      if (stranger.ready !== undefined && !watcher.lossy)
        watcher.fail("a store belongs to one tenant", "A process of another tenant has started");
      stranger.stop();
    });
  },
} satisfies Record<string, Fault>;

const queueNames = ["refresh", "bulk", "confirm", "fanout", "requests"] as const;

/** Ends what pausing and interrupted deletions of queues leave behind. */
export async function resumeQueues(scene: Scene): Promise<void> {
  for (const name of queueNames) await resumeQueue(scene, name);
}

async function resumeQueue({ redis: server }: Scene, name: string): Promise<void> {
  const key = (part: string) => `{${prefix}}:${name}:${part}`;
  const resume = `
    if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
    redis.call('HDEL', KEYS[3], 'paused')
    redis.call('ZADD', KEYS[4], 0, '0')
    return 1`;
  await server.execute([["EVAL", resume, "4", key("paused"), key("wait"), key("meta"), key("marker")]]);
}

/** Faults that say nothing unless another worker takes over. */
export const processFaults: ReadonlySet<string> = new Set(Object.keys(processes));

/** Every kind of fault, by name. */
export const faults = { ...kinde, ...deliveries, ...redis, ...processes };
