import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import type { Flows } from "../../src/service/create-flows.ts";
import { noteSweep } from "../../src/sweep/sweep-log.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { dropKeys, type Stack } from "../support/stack.ts";
import { createScene, type Scene, type Step } from "./scene.ts";

/** The state of a schedule of changes that send no events. */
export interface Silence {
  stack: Stack;
  scene: Scene;
  refresh: Flows;
  /** Ids of all users that ever existed. */
  everyone: Set<string>;
  /** Tiers written through Kindling, until another change. Every read must return them. */
  written: Map<string, string>;
}

export function createSilence(stack: Stack, refresh: Silence["refresh"]): Silence {
  return { stack, scene: createScene(stack, new Map()), refresh, everyone: new Set(), written: new Map() };
}

const call = { priority: "bulk", signal: new AbortController().signal } as const;
const tiers = ["free", "pro", "enterprise"] as const;

/** How often each action occurs. */
export const silentWeights = {
  edit: 6,
  import: 4,
  vanish: 2,
  sign: 3,
  lose: 2,
  lag: 2,
  slow: 2,
  sweep: 4,
  backfill: 2,
  write: 5,
  wipe: 1,
  read: 4,
} as const;

/** The actions. Only sign-ups and sign-ins send events, and their deliveries can be lost. */
export function silentActions(silence: Silence) {
  const { stack, scene, refresh, everyone, written } = silence;
  const { kinde, faults } = stack.emulator;
  const { queues, sweeps } = stack.store;
  const present = ({ user }: Step) => {
    const id = scene.users[user];
    return id !== undefined && kinde.user(id) !== undefined ? id : undefined;
  };
  const tierOf = ({ choice }: Step) => tiers[choice % tiers.length] ?? "free";
  const settle = (id: string, index: number) => {
    scene.users[index] = id;
    everyone.add(id);
  };
  const read = async () => {
    for (const [id, tier] of written) {
      const record = await stack.record(id);
      expect({ id, tier: (record?.flags as { tier?: string } | undefined)?.tier }).toEqual({ id, tier });
    }
  };
  return {
    edit: (_scene: Scene, step: Step) => {
      const id = present(step);
      if (id === undefined) return;
      written.delete(id);
      kinde.setProperties(id, { plan_tier: tierOf(step), compliance_region: `r${step.choice}` });
    },
    import: (_scene: Scene, step: Step) => {
      if (present(step) !== undefined) return;
      const [user] = kinde.importUsers([{ properties: { plan_tier: tierOf(step) } }]);
      settle(String(user?.id), step.user);
    },
    vanish: (_scene: Scene, step: Step) => {
      const id = present(step);
      if (id === undefined) return;
      written.delete(id);
      kinde.deleteUser(id, { silent: true });
    },
    sign: (_scene: Scene, step: Step) => {
      const id = present(step);
      if (id !== undefined) kinde.signIn(id);
      else settle(kinde.createUser({ properties: { plan_tier: tierOf(step) } }).id, step.user);
    },
    lose: (_scene: Scene, { choice }: Step) => {
      faults.set({ kind: "lose_delivery", count: 1 + (choice % 3) });
    },
    lag: (_scene: Scene, { choice }: Step) => {
      faults.set({ kind: "search_lag", ms: 50 + (choice % 200), count: 5 });
    },
    slow: (_scene: Scene, { choice }: Step) => {
      const when = choice % 2 === 0 ? "before" : "after";
      faults.set({ kind: "latency", ms: [0, 5 + (choice % 80)], when, count: 6, seed: choice });
    },
    sweep: () => queues.enqueueSweep(),
    backfill: async () => {
      const previous = await sweeps.last();
      let state = beginSweep({ number: await sweeps.nextNumber(), previous, now: Date.now(), fill: true });
      while (state.phase === "listing") {
        const step = await refresh.sweepStep(state, call);
        await queues.enqueueReprocess(step.refresh);
        state = step.state;
      }
      await noteSweep(stack.store, state, Date.now());
    },
    write: async (_scene: Scene, step: Step) => {
      const id = present(step);
      if (id === undefined) return;
      const tier = tierOf(step);
      written.delete(id);
      const { flags } = await refresh.setProperties(id, { plan_tier: tier }, { ...call, priority: "webhook" });
      expect(flags.tier).toBe(tier);
      written.set(id, tier);
      await read();
    },
    wipe: async (_scene: Scene, { choice }: Step) => {
      if (choice % 3 !== 0) return;
      written.clear();
      await dropKeys(stack.config);
    },
    read: async () => {
      await read();
      await delay(5);
      await read();
    },
  } as const;
}
