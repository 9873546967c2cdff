import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import type { Emulator, Fault } from "../../src/emulator/index.ts";
import type { Stack } from "../support/stack.ts";

/** What can happen to one user, in Kinde or on the way from there. */
export type Step =
  | { do: "rename" | "suspend" | "release" | "join" | "leave" | "promote" | "demote" | "plan" | "login" | "remove" }
  | { do: "set"; tier: string }
  | { do: "role"; permissions: readonly string[] }
  | { do: "late" }
  | { do: "reprocess"; slow: boolean }
  | { do: "fault"; fault: FaultKind }
  | { do: "heal" }
  | { do: "wait"; ms: number };

type FaultKind = (typeof faultKinds)[number];

const faultKinds = [
  "slow",
  "old",
  "torn",
  "error",
  "reset",
  "garbage",
  "truncated",
  "throttled",
  "late",
  "twice",
  "shuffled",
  "unacknowledged",
] as const;

const tiers = ["free", "pro", "enterprise", "gold"];
const act = fc.constantFrom<Step[]>(
  ...(["rename", "suspend", "release", "join", "leave", "promote", "demote", "plan", "login"] as const).map(
    (name): Step => ({ do: name }),
  ),
);

/** A random schedule: steps for each of a few users, run side by side. */
export const schedules: fc.Arbitrary<Step[][]> = fc.array(
  fc.array(
    fc.oneof(
      { weight: 8, arbitrary: act },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("set" as const), tier: fc.constantFrom(...tiers) }) },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant("role" as const), permissions: fc.subarray(["admin:access", "read"]) }),
      },
      { weight: 1, arbitrary: fc.constant<Step>({ do: "remove" }) },
      { weight: 1, arbitrary: fc.constant<Step>({ do: "late" }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("reprocess" as const), slow: fc.boolean() }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("fault" as const), fault: fc.constantFrom(...faultKinds) }) },
      { weight: 2, arbitrary: fc.constant<Step>({ do: "heal" }) },
      { weight: 5, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 25 }) }) },
    ),
    { minLength: 4, maxLength: 18 },
  ),
  { minLength: 1, maxLength: 3 },
);

let runs = 0;

/** Plays a schedule, and answers the ids of its users when all faults are gone. */
export async function play({ emulator, store }: Stack, schedule: Step[][]): Promise<string[]> {
  const { kinde } = emulator;
  runs += 1;
  const role = `role-${runs}`;
  kinde.createRole(role, []);
  const organization = kinde.createOrganization().code;
  return Promise.all(
    schedule.map(async (steps) => {
      const { id } = kinde.createUser();
      const heal: (() => void)[] = [];
      for (const step of steps) {
        // An operator's refresh runs beside the webhooks' own: of the two the later ticket must win.
        if (step.do === "reprocess") {
          if (step.slow) emulator.faults.set({ kind: "latency", ms: 120, when: "after", user: id, count: 2 });
          await store.queues.enqueueReprocess([id]);
          await delay(15);
        } else await take(emulator, { id, organization, role, heal }, step);
      }
      for (const remove of heal) remove();
      // The change in a torn pair has no event of its own. Nobody else gets a last event, which would hide what was lost.
      const torn = steps.some((step) => step.do === "fault" && step.fault === "torn");
      if (torn && kinde.user(id) !== undefined) kinde.signIn(id);
      return id;
    }),
  );
}

interface Cast {
  id: string;
  organization: string;
  role: string;
  heal: (() => void)[];
}

async function take(
  { kinde, faults }: Emulator,
  { id, organization, role, heal }: Cast,
  step: Exclude<Step, { do: "reprocess" }>,
): Promise<void> {
  if (step.do === "wait") await delay(step.ms);
  else if (step.do === "heal") for (const remove of heal.splice(0)) remove();
  else if (step.do === "fault") heal.push(faults.set(faultFor(step.fault, id)));
  else if (step.do === "role") kinde.updateRole(role, { permissions: step.permissions });
  else if (step.do === "late") kinde.emit("user.updated", { user: { id } });
  else if (kinde.user(id) !== undefined) change(kinde, id, organization, role, step);
}

function change(kinde: Emulator["kinde"], id: string, organization: string, role: string, step: Step): void {
  const member = kinde.user(id)?.organizations.some(({ code }) => code === organization) ?? false;
  if (step.do === "rename") kinde.updateUser(id, { firstName: `Name ${Math.floor(performance.now())}` });
  else if (step.do === "suspend") kinde.suspendUser(id);
  else if (step.do === "release") kinde.suspendUser(id, false);
  else if (step.do === "plan") kinde.assignPlan(id, "pro");
  else if (step.do === "login") kinde.signIn(id);
  else if (step.do === "remove") kinde.deleteUser(id);
  else if (step.do === "join" && !member) kinde.addToOrganization(id, organization);
  else if (step.do === "leave" && member) kinde.removeFromOrganization(id, organization);
  else if (step.do === "promote" && member) kinde.setRoles(id, organization, [role]);
  else if (step.do === "demote" && member) kinde.setRoles(id, organization, []);
  else if (step.do === "set") {
    // A property alone fires nothing; the event that tells of it is the login after it.
    kinde.setProperties(id, { plan_tier: step.tier, onboarded: String(step.tier !== "free") });
    kinde.signIn(id);
  }
}

function faultFor(kind: FaultKind, user: string): Fault {
  const call = { user, path: "/api/v1/**" };
  const all: Record<FaultKind, Fault> = {
    slow: { kind: "latency", ms: [5, 60], ...call },
    old: { kind: "latency", ms: [1, 150], when: "after", probability: 0.5, ...call },
    torn: { kind: "torn_read", answer: "after", change: { properties: { compliance_region: "eu" } }, user, count: 1 },
    error: { kind: "error", status: 503, ...call, count: 3 },
    reset: { kind: "reset", ...call, count: 3 },
    garbage: { kind: "garbage", ...call, count: 2 },
    truncated: { kind: "truncated", ...call, count: 2 },
    throttled: { kind: "too_many_requests", resetSeconds: 0.05, ...call, count: 1 },
    late: { kind: "delay_delivery", ms: [10, 120], user },
    twice: { kind: "duplicate_delivery", copies: 2, user },
    shuffled: { kind: "reorder_deliveries", window: 3, maxHoldMs: 60, user },
    unacknowledged: { kind: "lose_ack", user, count: 2 },
  };
  return all[kind];
}
