import type { Fault } from "../../packages/kinde-emulator/src/fault-types.ts";
import type { Scene, Step } from "./scene.ts";

const times = (choice: number) => 1 + (choice % 3);

/** Sets a fault for the calls about one user, if the user exists. */
const ofCalls = (fault: (user: string, choice: number) => Fault) => (scene: Scene, step: Step) => {
  const user = scene.users[step.user];
  if (user !== undefined) scene.stack.emulator.faults.set(fault(user, step.choice));
};

/** Sets a fault for all deliveries. */
const ofDeliveries = (fault: (choice: number) => Fault) => (scene: Scene, step: Step) => {
  scene.stack.emulator.faults.set(fault(step.choice));
};

/** Changes property and name between the two calls of one fetch. Only the name sends an event. */
function tear(scene: Scene, { user: index, choice }: Step): void {
  const user = scene.users[index];
  if (user === undefined || scene.tearing.has(user)) return;
  const answer = choice % 2 === 0 ? "before" : "after";
  scene.tearing.set(user, () => scene.kinde.updateUser(user, { firstName: `T${choice}` }));
  const change = { properties: { compliance_region: `torn-${choice}` } };
  scene.stack.emulator.faults.set({ kind: "torn_read", user, answer, change, count: 1 });
}

/** Everyday faults of Kinde and of the network. */
export const mishaps = {
  slow: ofCalls((user, choice) => ({
    kind: "latency",
    user,
    ms: [0, 5 + (choice % 60)],
    when: choice % 4 === 0 ? "before" : "after",
    count: 4 * times(choice),
    seed: choice,
  })),
  stale: ofCalls((user, choice) => ({ kind: "torn_read", user, answer: "before", count: times(choice) })),
  tear,
  failing: ofCalls((user, choice) => ({
    kind: "error",
    user,
    status: choice % 2 === 0 ? 500 : 503,
    count: times(choice),
  })),
  cut: ofCalls((user, choice) => ({ kind: "reset", user, count: times(choice) })),
  half: ofCalls((user, choice) => ({ kind: "truncated", user, count: times(choice) })),
  garbage: ofCalls((user, choice) => ({ kind: "garbage", user, count: times(choice) })),
  hanging: ofCalls((user) => ({ kind: "hang", user, count: 1 })),
  // The header counts whole seconds, and most seeds cannot afford to wait one.
  throttled: ofCalls((user, choice) => ({
    kind: "too_many_requests",
    user,
    resetSeconds: choice % 50 === 0 ? 1 : 0,
    count: times(choice),
  })),
  late: ofDeliveries((choice) => ({ kind: "delay_delivery", ms: [0, 80], count: times(choice), seed: choice })),
  twice: ofDeliveries((choice) => ({ kind: "duplicate_delivery", copies: 1 + (choice % 2), count: times(choice) })),
  shuffled: ofDeliveries((choice) => ({
    kind: "reorder_deliveries",
    window: 2 + (choice % 4),
    maxHoldMs: 40,
    count: 6,
    seed: choice,
  })),
  unacknowledged: ofDeliveries((choice) => ({ kind: "lose_ack", count: times(choice) })),
} as const;
