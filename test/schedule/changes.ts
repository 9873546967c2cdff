import { setTimeout as delay } from "node:timers/promises";
import type { Scene, Step } from "./scene.ts";

type Change = (scene: Scene, id: string, step: Step) => unknown;

const pick = <T>(list: readonly T[], choice: number): T => {
  const picked = list[choice % list.length];
  if (picked === undefined) throw new Error("The list to pick from is empty.");
  return picked;
};

/** Selects keys by the bits of `choice`. */
const some = (keys: readonly string[], choice: number) => keys.filter((_, index) => ((choice >> index) & 1) === 1);

/**
 * Applies a change to a user. Creates the user first if necessary. For a deleted user, emits a late `user.updated`
 * instead, because Kinde does not guarantee the order of deliveries.
 */
const ofUser = (change: Change) => (scene: Scene, step: Step) => {
  const id = scene.users[step.user];
  if (id === undefined) {
    scene.users[step.user] = scene.kinde.createUser({ properties: { plan_tier: "pro" } }).id;
    return;
  }
  if (scene.kinde.user(id) !== undefined) return change(scene, id, step);
  scene.kinde.emit("user.updated", { user: { id, email: null, is_suspended: false, organizations: null } });
};

const join: Change = ({ kinde, organizations, roles, permissions }, id, { choice }) =>
  kinde.addToOrganization(id, pick(organizations, choice), {
    roles: some(roles, choice >> 1),
    permissions: some(permissions, choice >> 3),
  });

/** Applies a change to a member. A user who is not a member joins instead. */
const ofMember =
  (change: (scene: Scene, id: string, code: string, choice: number) => void): Change =>
  (scene, id, step) => {
    const code = pick(scene.organizations, step.choice);
    const isMember = scene.kinde.user(id)?.organizations.some((membership) => membership.code === code);
    return isMember ? change(scene, id, code, step.choice) : join(scene, id, step);
  };

const plans = [
  ({ kinde }: Scene, id: string) => kinde.assignPlan(id, "pro"),
  ({ kinde }: Scene, id: string) => kinde.changePlan(id, "team"),
  // Cancelling without a plan sends no event, so the first step assigns one.
  ({ kinde }: Scene, id: string) =>
    kinde.user(id)?.billing?.agreements.length ? kinde.cancelPlan(id) : kinde.assignPlan(id, "starter"),
];

/** Changes in Kinde. A property change sends no event, so another change that does follows it at once. */
export const changes = {
  rename: ofUser(({ kinde }, id, { choice }) =>
    kinde.updateUser(id, { firstName: `N${choice}`, phone: `+49${choice}` }),
  ),
  suspend: ofUser(({ kinde }, id, { choice }) => kinde.suspendUser(id, choice % 2 === 0)),
  properties: ofUser(({ kinde }, id, { choice }) => {
    kinde.setProperties(id, {
      plan_tier: pick(["free", "pro", "enterprise", "gold", null], choice),
      onboarded: pick(["true", "false", null], choice),
      compliance_region: pick(["eu", "us", null], choice),
    });
    kinde.updateUser(id, { lastName: `P${choice}` });
  }),
  join: ofUser(join),
  leave: ofUser(ofMember(({ kinde }, id, code) => kinde.removeFromOrganization(id, code))),
  roles: ofUser(ofMember(({ kinde, roles }, id, code, choice) => kinde.setRoles(id, code, some(roles, choice >> 1)))),
  permissions: ofUser(
    ofMember(({ kinde, permissions }, id, code, choice) =>
      kinde.setPermissions(id, code, some(permissions, choice >> 1)),
    ),
  ),
  plan: ofUser((scene, id, { choice }) => pick(plans, choice)(scene, id)),
  signIn: ofUser(({ kinde }, id) => kinde.signIn(id)),
  remove: ofUser(({ kinde }, id) => kinde.deleteUser(id)),
  rolePermissions: ({ kinde, roles, permissions }: Scene, { choice }: Step) =>
    kinde.updateRole(pick(roles, choice), { permissions: some(permissions, choice >> 1) }),
  farewell: ({ kinde, leaver }: Scene) => {
    if (kinde.user(leaver) !== undefined) kinde.emit("user.deleted", { user: { id: leaver } });
  },
  /** A refresh that reads the current state and commits last. A refresh that started later must win. */
  overtake: ofUser(async ({ kinde, stack }, id, { choice }) => {
    stack.emulator.faults.set({ kind: "latency", user: id, ms: 60 + (choice % 60), when: "after", count: 2 });
    await stack.store.queues.enqueueReprocess([id]).catch(() => undefined);
    await delay(choice % 30);
    if (kinde.user(id) !== undefined) kinde.updateUser(id, { firstName: `O${choice}` });
  }),
  /** A refresh that no event caused. It is skipped while Redis is down. */
  reprocess: ofUser(({ stack }, id) => stack.store.queues.enqueueReprocess([id]).catch(() => undefined)),
} as const;
