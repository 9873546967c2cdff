const instances = Symbol.for("kindling.instances");

/**
 * Returns the instance of this name, created by the first call in the process. Development servers evaluate modules again
 * after an edit, and Next evaluates them once per bundle: each would open its own connections.
 *
 * The instances are kept on `globalThis` until the process ends. Put whatever the instance depends on into the name.
 *
 * @example
 * ```ts
 * import { Redis } from "ioredis";
 * import { oncePerProcess } from "kindling/request";
 *
 * export const redis = oncePerProcess("redis", () => new Redis("redis://127.0.0.1:6379"));
 * ```
 */
export function oncePerProcess<T>(name: string, create: () => T): T {
  const holder = globalThis as { [instances]?: Map<string, unknown> };
  holder[instances] ??= new Map();
  const held = holder[instances];
  if (!held.has(name)) held.set(name, create());
  // Sound as long as a name always means one type.
  return held.get(name) as T;
}
