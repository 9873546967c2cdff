import { setTimeout as delay } from "node:timers/promises";
import { createEmulator, type Emulator } from "kinde-emulator";
import { verifyUsers } from "../src/audit/verify-users.ts";
import { startEmbeddedRedis } from "../src/demo/embedded-redis.ts";
import { waitUntilComplete } from "../test/support/wait-until-complete.ts";
import type { Benchmark, BenchOptions, Outcome } from "./support/benchmark.ts";
import { type Deployment, startDeployment } from "./support/deployment.ts";
import { drawBars } from "./support/picture.ts";
import { measureStaleness, type Staleness, shareWithin } from "./support/staleness.ts";
import { quantile } from "./support/statistics.ts";

/** Shares of the users that change in a day. */
const daily = { signIn: 0.2, edit: 0.02, role: 0.01, suspension: 0.005, import: 0.005, deletion: 0.002 };
const lostShare = 0.2;

export const day: Benchmark = {
  title:
    "day: what happens to a tenant in a day, within minutes; a fifth of the webhooks is lost, and Kinde's API fails for a while",
  async run(options) {
    const { quick, say } = options;
    const users = quick ? 1_000 : 100_000;
    const lastsMs = quick ? 40_000 : 600_000;
    const embedded = await startEmbeddedRedis();
    const emulator = await createEmulator({ users, retryTimeScale: 0.01 });
    const deployment = await startDeployment({
      emulator,
      redisUrl: embedded.url,
      env: {
        KINDLING_SWEEP_INTERVAL: "15m",
        // A day's events in minutes need a day's budget.
        KINDLING_CALLS_PER_MINUTE: "60000",
        KINDLING_CALLS_AT_ONCE: "60",
        KINDLING_ABSENCE_SPAN: "10s",
        KINDLING_RETRY_MAX: "5s",
        KINDLING_LOG_LEVEL: "error",
        // This process is Kinde, too, and can be late to hear from Redis.
        KINDLING_REDIS_TIMEOUT: "10s",
      },
    });
    const staleness = measureStaleness(deployment.store);
    try {
      await waitUntilComplete(deployment.store);
      say(`${users.toLocaleString("en")} users: the store is complete`);
      emulator.webhooks.register({ url: deployment.webhookUrl });
      emulator.faults.set({ kind: "lose_delivery", probability: lostShare });
      emulator.stats.reset();
      await live({ emulator, staleness, users, lastsMs });
      const calls = emulator.stats.total;
      say(`the day is over: ${staleness.open()} changes are not readable yet`);
      emulator.faults.clear();
      while (staleness.open() > 0) await delay(100);
      const drifted = await verify(deployment, quick ? "all" : { sample: 3_000 });
      return await outcomeOf(staleness, { calls, drifted, options });
    } finally {
      await staleness.close();
      await deployment.close();
      await embedded.close();
    }
  },
};

interface Life {
  emulator: Emulator;
  staleness: Staleness;
  users: number;
  lastsMs: number;
}

/** Plays the day: all events evenly mixed, and in its middle an outage of a twelfth. */
async function live({ emulator: { kinde, faults }, staleness, users, lastsMs }: Life): Promise<void> {
  const kinds = Object.entries(daily).flatMap(([kind, share]) =>
    Array.from({ length: Math.ceil(users * share) }, () => kind as keyof typeof daily),
  );
  const events = shuffled(kinds);
  // Nobody changes twice: a second change could hide the first before it shows.
  const everybody = shuffled([...kinde.userIds()]);
  const isMember = (id: string) => (kinde.user(id)?.organizations.length ?? 0) > 0;
  const members = everybody.filter(isMember).slice(0, Math.ceil(users * daily.role));
  const granted = new Set(members);
  const ids = everybody.filter((id) => !granted.has(id));
  const began = performance.now();
  const outage = { from: lastsMs * 0.5, to: lastsMs * (0.5 + 1 / 12) };
  let failing = false;
  for (const [index, kind] of events.entries()) {
    const dueMs = (index / events.length) * lastsMs;
    await delay(Math.max(0, began + dueMs - performance.now()));
    if (!failing && dueMs > outage.from && dueMs < outage.to) {
      failing = true;
      faults.set({ kind: "error", status: 503, path: "/api/v1/**" });
    }
    if (failing && dueMs >= outage.to) {
      failing = false;
      faults.clear();
      faults.set({ kind: "lose_delivery", probability: lostShare });
    }
    happen(kind);
  }

  function happen(kind: keyof typeof daily): void {
    const userId = (kind === "role" ? members : ids).pop() ?? "";
    if (kind === "signIn") kinde.signIn(userId);
    if (kind === "edit") {
      const region = `edit-${userId.slice(-8)}`;
      kinde.setProperties(userId, { compliance_region: region });
      staleness.changed({ kind: "property edited in Kinde", userId, shows: (flags) => flags?.region === region });
    }
    if (kind === "role") {
      kinde.setRoles(userId, kinde.user(userId)?.organizations[0]?.code ?? "", ["admin"]);
      staleness.changed({ kind: "role granted", userId, shows: (flags) => flags?.admin === true });
    }
    if (kind === "suspension") {
      kinde.updateUser(userId, { isSuspended: true });
      staleness.changed({ kind: "user suspended", userId, shows: (flags) => flags?.suspended === true });
    }
    if (kind === "import") {
      const [user] = kinde.importUsers([{ properties: { plan_tier: "pro" } }]);
      staleness.changed({ kind: "user imported", userId: user?.id ?? "", shows: (flags) => flags?.tier === "pro" });
    }
    if (kind === "deletion") {
      kinde.deleteUser(userId);
      staleness.changed({ kind: "user deleted", userId, shows: (_flags, status) => status === "deleted" });
    }
  }
}

async function verify({ store, flows }: Deployment, scope: "all" | { sample: number }): Promise<number> {
  const { signal } = new AbortController();
  const { drifted } = await verifyUsers({
    store,
    api: flows.kinde,
    audit: (userId) => flows.auditUser(userId, { priority: "bulk", signal }),
    scope,
    onDrift: async () => {},
    onProgress: () => {},
    signal,
  });
  return drifted;
}

async function outcomeOf(
  { times }: Staleness,
  { calls, drifted, options }: { calls: number; drifted: number; options: BenchOptions },
): Promise<Outcome> {
  const kinds = [...times].sort(([one], [other]) => (one < other ? -1 : 1));
  const all = kinds.flatMap(([, of]) => of);
  const rows = [...kinds, ["all", all] as const].map(([kind, of]) => [
    kind,
    of.length,
    ...[1_000, 10_000, 60_000].map((bound) => shareWithin(of, bound) * 100),
    quantile(of, 0.5) / 1_000,
    Math.max(...of) / 1_000,
  ]);
  if (!options.quick) {
    await drawBars("day", {
      title: "A day with a fifth of the webhooks lost: share of the changes readable within",
      series: ["1 s", "10 s", "60 s", "longer"],
      bars: [...kinds, ["all", all] as const].map(([label, of]) => {
        const shares = [1_000, 10_000, 60_000].map((bound) => shareWithin(of, bound));
        const parts = [...shares, 1].map((share, index, list) => Math.max(0, share - (list[index - 1] ?? 0)));
        return { label, parts, note: `longest ${Math.round(Math.max(...of) / 1_000)} s` };
      }),
    });
  }
  return {
    tables: [{ columns: ["change", "changes", "% in 1 s", "% in 10 s", "% in 60 s", "p50 s", "max s"], rows }],
    comparisons: [
      { what: "records that differ from Kinde in the end", value: drifted, unit: "records", goal: { atMost: 0 } },
      { what: "changes readable within 60 s", value: shareWithin(all, 60_000) * 100, unit: "%", goal: { atLeast: 90 } },
    ],
    notes: [
      `${calls.toLocaleString("en")} calls to Kinde during the day. Intervals are those of the default settings; only the events come faster.`,
      "Deletions without an event wait for two sweeps, and for KINDLING_ABSENCE_SPAN, here 10 s.",
    ],
  };
}

function shuffled<T>(list: readonly T[]): T[] {
  // Always the same order, so that runs compare.
  let seed = 7;
  const draw = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed;
  };
  return list
    .map((item) => ({ item, at: draw() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item);
}
