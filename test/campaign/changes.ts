import type { KindeActions } from "kinde-emulator";
import type { Scene } from "./scene.ts";
import type { Step } from "./schedule.ts";

/** What people and apps do in Kinde. */
type Change = (scene: Scene, step: Step) => void;

const pick = <T>(list: readonly T[], choice: number): T => {
  const picked = list[choice % list.length];
  if (picked === undefined) throw new Error("The list to pick from is empty.");
  return picked;
};

/** Selects keys by the bits of `choice`. */
const some = (keys: readonly string[], choice: number) => keys.filter((_, index) => ((choice >> index) & 1) === 1);

/**
 * Returns the user of a step: in most steps, one that Kinde is answering about, so that the answer is out of date when it
 * arrives.
 */
export function userOf({ users, kinde }: Scene, { user, choice }: Step): string | undefined {
  const reading = kinde.reading().filter((id) => users.includes(id));
  return reading.length > 0 && choice % 3 !== 0 ? pick(reading, choice) : users[user % users.length];
}

/** A change to a user, who is created first if necessary. A late event is sent for a deleted one. */
const ofUser =
  (make: (actions: KindeActions, id: string, scene: Scene, choice: number) => unknown): Change =>
  (scene, step) => {
    const { kinde, users } = scene;
    const id = userOf(scene, step);
    if (id === undefined) {
      const created = kinde.change((actions) => actions.createUser({ properties: { plan_tier: "pro" } }));
      users[step.user % users.length] = created.id;
    } else if (kinde.actions.user(id) === undefined) {
      const user = { id, email: null, is_suspended: false, organizations: null };
      kinde.change((actions) => actions.emit("user.updated", { user }));
    } else kinde.change((actions) => make(actions, id, scene, step.choice));
  };

const join = (actions: KindeActions, id: string, scene: Scene, choice: number) =>
  actions.addToOrganization(id, pick(scene.organizations, choice), {
    roles: some(scene.roles, choice >> 1),
    permissions: some(scene.permissions, choice >> 3),
  });

/** A change to a member. A user who is not a member joins instead. */
const ofMember = (make: (actions: KindeActions, id: string, code: string, scene: Scene, choice: number) => unknown) =>
  ofUser((actions, id, scene, choice) => {
    const code = pick(scene.organizations, choice);
    const isMember = actions.user(id)?.organizations.some((membership) => membership.code === code);
    return isMember ? make(actions, id, code, scene, choice) : join(actions, id, scene, choice);
  });

const tiers = ["free", "pro", "enterprise"] as const;

/** Returns the tier that a choice names. */
export const tierOf = (choice: number) => pick(tiers, choice);

/** Changes that an event announces. Property changes send none, so another change follows at once. */
export const announced = {
  rename: ofUser((actions, id, _scene, choice) => actions.updateUser(id, { firstName: `N${choice}` })),
  suspend: ofUser((actions, id, _scene, choice) => actions.suspendUser(id, choice % 2 === 0)),
  properties: ofUser((actions, id, _scene, choice) => {
    const region = pick(["eu", "us", null], choice);
    actions.setProperties(id, {
      plan_tier: pick([...tiers, "gold", null], choice),
      onboarded: pick(["true", "false", null], choice),
      compliance_region: region,
    });
    actions.updateUser(id, { lastName: `P${choice}` });
  }),
  join: ofUser(join),
  leave: ofMember((actions, id, code) => actions.removeFromOrganization(id, code)),
  roles: ofMember((actions, id, code, { roles }, choice) => actions.setRoles(id, code, some(roles, choice >> 1))),
  permissions: ofMember((actions, id, code, { permissions }, choice) =>
    actions.setPermissions(id, code, some(permissions, choice >> 1)),
  ),
  plan: ofUser((actions, id, _scene, choice) => {
    const held = actions.user(id)?.billing?.agreements.length ?? 0;
    if (held === 0) actions.assignPlan(id, pick(["pro", "team"], choice));
    else if (choice % 2 === 0) actions.changePlan(id, "team");
    else actions.cancelPlan(id);
  }),
  remove: ofUser((actions, id) => actions.deleteUser(id)),
  signIn: ofUser((actions, id) => actions.signIn(id)),
  rolePermissions: ({ kinde, roles, permissions }, { choice }) => {
    kinde.change((actions) => actions.updateRole(pick(roles, choice), { permissions: some(permissions, choice >> 1) }));
  },
  /** A burst about one user. */
  burst: ofUser((actions, id, _scene, choice) => {
    for (let index = 0; index < 2 + (choice % 3); index += 1)
      actions.updateUser(id, { firstName: `B${choice}-${index}` });
  }),
} satisfies Record<string, Change>;

/** Changes that no event announces. */
export const silent = {
  edit: (scene, step) => {
    const id = userOf(scene, step);
    if (id === undefined || scene.kinde.actions.user(id) === undefined) return;
    scene.watcher.noteSilence();
    scene.kinde.change((actions) => actions.setProperties(id, { plan_tier: tierOf(step.choice) }));
  },
  import: (scene, { user, choice }) => {
    const slot = user % scene.users.length;
    const id = scene.users[slot];
    if (id !== undefined && scene.kinde.actions.user(id) !== undefined) return;
    scene.watcher.noteSilence();
    const input = { properties: { plan_tier: tierOf(choice) }, organizations: [] };
    scene.users[slot] = scene.kinde.change((actions) => actions.importUsers([input]))[0]?.id;
  },
  vanish: (scene, step) => {
    const id = userOf(scene, step);
    if (id === undefined || scene.kinde.actions.user(id) === undefined) return;
    scene.watcher.noteSilence();
    scene.kinde.change((actions) => actions.deleteUser(id, { silent: true }));
  },
} satisfies Record<string, Change>;
