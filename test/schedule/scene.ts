import { setTimeout as delay } from "node:timers/promises";
import type { Emulator } from "kinde-emulator";
import type { Stack } from "../support/stack.ts";

/** What one schedule plays with: users, organizations, roles and permissions of its own, on a stack it may share. */
export interface Scene {
  stack: Stack;
  kinde: Emulator["kinde"];
  /** Ids, drawn by Kinde at their first step; a deleted user keeps the place. */
  users: (string | undefined)[];
  /** Kinde announces this one's deletion while its API still answers with the user. */
  leaver: string;
  organizations: string[];
  roles: string[];
  permissions: string[];
  /** Changes to make at the instant a torn read of that user strikes. */
  tearing: Map<string, () => void>;
  /** Things to undo before the schedule is judged. */
  undo: (() => unknown)[];
}

export const usersPerScene = 3;
let scenes = 0;

/** Sets the scene. None of it is announced to Kindling but the roles and organizations. */
export function createScene(stack: Stack, tearing: Scene["tearing"]): Scene {
  const { kinde } = stack.emulator;
  scenes += 1;
  const permissions = [`read-${scenes}`, `write-${scenes}`];
  const roles = [`viewer-${scenes}`, `editor-${scenes}`];
  for (const key of permissions) kinde.createPermission(key);
  kinde.createRole(roles[0] ?? "", []);
  kinde.createRole(roles[1] ?? "", permissions);
  return {
    stack,
    kinde,
    users: Array.from({ length: usersPerScene }, () => undefined),
    leaver: kinde.importUsers([{}])[0]?.id ?? "",
    organizations: [kinde.createOrganization().code, kinde.createOrganization().code],
    roles,
    permissions,
    tearing,
    undo: [],
  };
}

/** One step: what happens, to which user, with which choice, and how long after the step before. */
export interface Step<Action extends string = string> {
  action: Action;
  user: number;
  choice: number;
  afterMs: number;
}

/** What each action does. */
export type Actions<Action extends string = string> = Readonly<Record<Action, (scene: Scene, step: Step) => unknown>>;

/** Plays the steps, each at its time. */
export async function play(scene: Scene, steps: readonly Step[], actions: Actions): Promise<void> {
  for (const step of steps) {
    if (step.afterMs > 0) await delay(step.afterMs);
    await actions[step.action]?.(scene, step);
  }
}
