import { setTimeout as delay } from "node:timers/promises";
import { createEmulator, type Emulator } from "kinde-emulator";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import type { Benchmark, BenchOptions, Outcome } from "./support/benchmark.ts";
import { type Deployment, startDeployment } from "./support/deployment.ts";

/** What changes a user, in the shares of a usual day. */
const day = { "sign-in": 900, "user.updated": 80, "a changed plan": 10, "write through Kindling": 10 };
type Kind = keyof typeof day;
const kinds = Object.keys(day) as Kind[];

/** Time until Kinde's copies agree, here short, so that confirmations come soon. */
const settleMs = 2_000;

export const calls: Benchmark = {
  title: "calls: calls to Kinde for the events of users with one organization and a plan, confirmations included",
  async run(options) {
    const now = await measure(options, {});
    // Nothing is young enough to be kept.
    const before = await measure(options, { KINDLING_EXTRAS_MAX_AGE: "1ms" });
    return outcomeOf(now, before);
  },
};

type Calls = Record<Kind, number>;

/** Measures the calls of one event of each kind. */
async function measure({ quick, say }: BenchOptions, env: Record<string, string>): Promise<Calls> {
  const embedded = await startEmbeddedRedis();
  const emulator = await createEmulator({ users: 2_000 });
  const deployment = await startDeployment({
    emulator,
    redisUrl: embedded.url,
    env: {
      KINDLING_PROFILE: "properties,organizations,roles,permissions,billing",
      KINDLING_CALLS_PER_MINUTE: "1000000",
      KINDLING_CALLS_AT_ONCE: "100",
      KINDLING_WRITE_SETTLE: `${settleMs}ms`,
      ...env,
    },
  });
  try {
    const users = customersOfOne(emulator).slice(0, quick ? 20 : 100);
    await deployment.store.queues.enqueueReprocess(users);
    await atRest(deployment, emulator);
    emulator.webhooks.register({ url: deployment.webhookUrl });
    const counted: Partial<Calls> = {};
    for (const kind of kinds) {
      emulator.stats.reset();
      await Promise.all(users.map((userId) => happen(kind, userId, deployment, emulator)));
      await atRest(deployment, emulator);
      counted[kind] = emulator.stats.total / users.length;
      say(`${kind}: ${counted[kind]} calls`);
    }
    return counted as Calls;
  } finally {
    await deployment.close();
    await embedded.close();
  }
}

function customersOfOne({ kinde }: Emulator): string[] {
  return [...kinde.userIds()].filter((id) => {
    const user = kinde.user(id);
    return user?.organizations.length === 1 && user.billing?.agreements.length === 1;
  });
}

async function happen(kind: Kind, userId: string, { flows }: Deployment, { kinde }: Emulator): Promise<void> {
  if (kind === "sign-in") kinde.signIn(userId);
  if (kind === "user.updated") kinde.updateUser(userId, { firstName: "Ada" });
  if (kind === "a changed plan") {
    const plan = kinde.user(userId)?.billing?.agreements[0]?.planCode;
    kinde.changePlan(userId, plan === "pro" ? "enterprise" : "pro");
  }
  if (kind === "write through Kindling") {
    const { signal } = new AbortController();
    await flows.setProperties(userId, { onboarded: "true" }, { priority: "webhook", refreshClaims: false, signal });
  }
}

/** Waits until all is delivered, refreshed and confirmed. */
async function atRest({ store }: Deployment, { deliveries }: Emulator): Promise<void> {
  const { redis, keys, ledger, queues } = store;
  const left = async () => {
    const counts = await Promise.all([
      ledger.size().then(({ size }) => size),
      redis.zcard(keys.ledgerPart("confirm")),
      queues.refresh.getJobCountByTypes("waiting", "delayed", "active"),
      queues.bulk.getJobCountByTypes("waiting", "prioritized", "delayed", "active"),
      queues.confirm.getJobCountByTypes("waiting", "delayed", "active"),
    ]);
    return counts.reduce((sum, each) => sum + each, 0);
  };
  await deliveries.settled();
  while ((await left()) > 0) await delay(100);
}

function outcomeOf(now: Calls, before: Calls): Outcome {
  const ofDay = (calls: Calls) => kinds.reduce((sum, kind) => sum + day[kind] * calls[kind], 0);
  const events = kinds.reduce((sum, kind) => sum + day[kind], 0);
  return {
    tables: [
      {
        columns: ["", "calls", "if every refresh fetched everything"],
        rows: [
          ...kinds.map((kind) => [kind, now[kind], before[kind]]),
          [
            `${events.toLocaleString("en")} events: ${kinds.map((kind) => `${day[kind]} ${kind}`).join(", ")}`,
            ofDay(now),
            ofDay(before),
          ],
        ],
      },
    ],
    comparisons: [{ what: "calls for a sign-in", value: now["sign-in"], unit: "calls", goal: { atMost: 2 } }],
    notes: ["Without events that come in a burst, which share a refresh."],
  };
}
