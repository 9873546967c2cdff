import { setTimeout as delay } from "node:timers/promises";
import { expect } from "vitest";
import { until } from "../support/until.ts";
import { expected, held } from "./comparison.ts";
import type { Scene, Step } from "./scene.ts";

/**
 * A member whose grants change without an event, while a refresh that no event caused finds the change and a sign-in is
 * fetched, which keeps the grants of the record. In whatever order the two commit, the change must not get lost.
 */
export interface Crossing {
  cross(scene: Scene, step: Step): Promise<void>;
  /** Compares the member with Kinde. Call it once no work is left. */
  judge(): Promise<void>;
}

export async function createCrossing({ stack, kinde, organizations, permissions }: Scene): Promise<Crossing> {
  const { faults } = stack.emulator;
  const { queues } = stack.store;
  const [code = ""] = organizations;
  const id = kinde.importUsers([{ organizations: [code] }])[0]?.id ?? "";
  await queues.enqueueReprocess([id]);
  let granted = false;
  return {
    async cross(_scene, { choice }) {
      faults.set({ kind: "lose_delivery", user: id, eventTypes: ["user.updated"], count: 1 });
      granted = !granted;
      kinde.setPermissions(id, code, granted ? permissions : []);
      faults.set({ kind: "latency", user: id, ms: [0, 40], when: "after", count: 8, seed: choice });
      const refreshes = [
        () => queues.enqueueReprocess([id]),
        async () => kinde.emit("user.authenticated", { user: { id } }),
      ];
      for (const refresh of choice % 2 === 0 ? refreshes : refreshes.reverse()) {
        await refresh();
        await delay(choice % 20);
      }
    },
    judge: async () => expect(await until(() => held(stack, id))).toEqual(expected(kinde.user(id))),
  };
}
