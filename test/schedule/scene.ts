import { setTimeout as delay } from "node:timers/promises";
import type { Emulator } from "kinde-emulator";
import type { Stack } from "../support/stack.ts";

/** The users, organizations, roles and permissions of one schedule, on a stack that schedules can share. */
export interface Scene {
  stack: Stack;
  kinde: Emulator["kinde"];
  /** User ids, assigned at the first step of each user. A deleted user keeps the slot. */
  users: (string | undefined)[];
  /** Kinde sends the deletion event of this user while its API still returns the user. */
  leaver: string;
  organizations: string[];
  roles: string[];
  permissions: string[];
  /** Changes to make, by user id, at the moment a torn read strikes. */
  tearing: Map<string, () => void>;
  /** Cleanup to run before the result is judged. */
  undo: (() => unknown)[];
}

export const usersPerScene = 3;
let scenes = 0;

/** Creates the scene. Only the roles and organizations send events. */
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

/** One step: an action, the user and choice it applies to, and the delay after the previous step. */
export interface Step<Action extends string = string> {
  action: Action;
  user: number;
  choice: number;
  afterMs: number;
}

/** Implementation of each action. */
export type Actions<Action extends string = string> = Readonly<Record<Action, (scene: Scene, step: Step) => unknown>>;

/** Plays the steps in order with their delays. */
export async function play(scene: Scene, steps: readonly Step[], actions: Actions): Promise<void> {
  for (const step of steps) {
    if (step.afterMs > 0) await delay(step.afterMs);
    await actions[step.action]?.(scene, step);
  }
}
