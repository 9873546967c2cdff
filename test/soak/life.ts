import { setTimeout as delay } from "node:timers/promises";
import type { Emulator } from "kinde-emulator";
import type { Random } from "../campaign/sim/random.ts";
import type { Ledgerwatch } from "./watch.ts";

/** Options for {@link createLife}. */
export interface LifeOptions {
  emulator: Emulator;
  random: Random;
  watch: Ledgerwatch;
  /** Users of the tenant, by slot. A deleted one is replaced by another. */
  ids: string[];
  /** Events per second. */
  rate: number;
  /** Sets a property through Kindling. Returns whether Kindling accepted it. */
  write: (userId: string, marker: string) => Promise<boolean>;
}

/** What people, admins and apps do in Kinde, at a constant rate of events as long as they are taken. */
export interface Life {
  /** Plays until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  readonly counts: ReadonlyMap<string, number>;
}

/** The property that tells which of two states of a user is the later one. */
export const markerProperty = "compliance_region";

/** How often each change happens, of a hundred. */
const weights = {
  signIn: 75,
  rename: 8,
  properties: 5,
  roles: 3,
  permissions: 2,
  membership: 2,
  suspension: 1,
  plan: 1,
  write: 2,
  edit: 2,
  replace: 0.2,
  importUser: 0.02,
  vanish: 0.02,
  organization: 0.02,
  role: 0.002,
};
type Kind = keyof typeof weights;

const tickMs = 10;
/** Events that can wait, which is more than collect in half a minute without an answer. */
const mostWaiting = 5_000;
/** Share of the changes that concern one of the few busy users. */
const busyShare = 0.15;
const busyUsers = 40;
const tiers = ["free", "pro", "enterprise", "gold"];

/** Creates the life of a tenant whose users exist already. */
export function createLife({ emulator: { kinde, deliveries }, ids, random, watch, rate, write }: LifeOptions): Life {
  const organizations = kinde.organizations().map(({ code }) => code);
  const roles = kinde.roles().map(({ key }) => key);
  const permissions = kinde.permissions().map(({ key }) => key);
  const kinds = Object.entries(weights) as [Kind, number][];
  const counts = new Map<string, number>();
  const writing = new Set<string>();
  let markers = 0;

  // As many as the tenant's users have at the start: their data must not grow.
  const oneRole = () => [random.pick(roles)];
  const rarePermission = () => (random.chance(0.05) ? [random.pick(permissions)] : []);
  const slot = () => random.below(random.chance(busyShare) ? busyUsers : ids.length);
  const idAt = (index: number) => ids[index] ?? "";

  /** Sets the marker, which fires no event; the change that follows announces it. */
  const mark = (userId: string) => {
    markers += 1;
    kinde.setProperties(userId, { [markerProperty]: `m${markers}` });
    return markers;
  };
  const announced = (change: (userId: string) => void) => (userId: string) =>
    watch.expectEvents(userId, mark(userId), () => change(userId));
  const inOrganization = (change: (userId: string, code: string) => void) =>
    announced((userId) => {
      const code = kinde.user(userId)?.organizations[0]?.code;
      if (code === undefined) kinde.addToOrganization(userId, random.pick(organizations), { roles: oneRole() });
      else change(userId, code);
    });

  const changes: Record<Kind, (userId: string, index: number) => void> = {
    signIn: (userId) => watch.expectEvents(userId, undefined, () => kinde.signIn(userId)),
    rename: announced((userId) => kinde.updateUser(userId, { firstName: `N${markers}` })),
    properties: announced((userId) => {
      kinde.setProperties(userId, { plan_tier: random.pick(tiers), onboarded: String(random.chance(0.5)) });
      kinde.updateUser(userId, { lastName: `P${markers}` });
    }),
    roles: inOrganization((userId, code) => kinde.setRoles(userId, code, oneRole())),
    permissions: inOrganization((userId, code) => kinde.setPermissions(userId, code, rarePermission())),
    membership: inOrganization((userId, code) => kinde.removeFromOrganization(userId, code)),
    suspension: announced((userId) => kinde.suspendUser(userId, random.chance(0.5))),
    plan: announced((userId) => {
      if (kinde.user(userId)?.billing?.agreements.length) kinde.changePlan(userId, random.pick(["pro", "team"]));
      else kinde.assignPlan(userId, "pro");
    }),
    write: (userId) => {
      markers += 1;
      const marker = markers;
      writing.add(userId);
      void write(userId, `m${marker}`)
        .then((accepted) => (accepted ? watch.judgeWrite(userId, marker) : undefined))
        .finally(() => writing.delete(userId));
    },
    edit: (userId) => kinde.setProperties(userId, { plan_tier: random.pick(tiers) }),
    replace: (userId, index) => {
      watch.expectEvents(userId, undefined, () => kinde.deleteUser(userId));
      const created = watch.expectSignUp(() => kinde.createUser({ properties: { plan_tier: "pro" } }).id);
      ids[index] = created;
    },
    importUser: (userId, index) => {
      watch.expectEvents(userId, undefined, () => kinde.deleteUser(userId));
      ids[index] = kinde.importUsers([{ properties: { plan_tier: "pro" } }])[0]?.id ?? userId;
    },
    vanish: (userId, index) => {
      kinde.deleteUser(userId, { silent: true });
      ids[index] = watch.expectSignUp(() => kinde.createUser().id);
    },
    organization: () => kinde.updateOrganization(random.pick(organizations), { name: `Renamed ${markers}` }),
    role: () => kinde.updateRole(random.pick(roles), { permissions: permissions.filter(() => random.chance(0.3)) }),
  };

  const change = () => {
    const kind = random.weighted(kinds);
    const index = slot();
    // During a write through Kindling, nothing else changes the marker.
    if (writing.has(idAt(index))) return;
    changes[kind](idAt(index), index);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  };

  return {
    counts,
    async run(signal) {
      let due = watch.events;
      let before = performance.now();
      while (!signal.aborted) {
        await delay(tickMs);
        const now = performance.now();
        // A machine that is too busy for the rate gets fewer events, not an endless backlog.
        if (deliveries.pending() + watch.outstanding < mostWaiting) due += ((now - before) * rate) / 1000;
        before = now;
        // Some changes fire no event: a bound for each turn keeps the rest of the process alive.
        for (let made = 0; made < rate && watch.events < due; made += 1) change();
      }
    },
  };
}
