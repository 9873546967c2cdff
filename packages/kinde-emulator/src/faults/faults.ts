import type { ActiveFault, Duration, Fault } from "../fault-types.ts";
import { createRandom } from "../state/random.ts";

/** The call or delivery that a fault could affect. */
export interface Target {
  path?: string;
  method?: string;
  user?: string | undefined;
  eventType?: string;
}

export type Kind = Fault["kind"];
export type FaultOf<K extends Kind> = Extract<Fault, { kind: K }>;

/** A fault that applies to a target. */
export interface Strike<K extends Kind> {
  fault: FaultOf<K>;
  /** State of the fault, shared by all its strikes. */
  memory: Map<string, number>;
  /** Returns a duration in milliseconds, drawn from the range if there is one. */
  draw(duration: Duration): number;
  random(): number;
}

export interface Faults {
  set(fault: Fault): () => void;
  remove(id: string): boolean;
  clear(): void;
  list(): ActiveFault[];
  /** Returns the first fault of this kind that strikes the target. Draws its probability and counts the strike. */
  strike<K extends Kind>(kind: K, target: Target): Strike<K> | undefined;
  /** Returns all faults of this kind whose scope includes the target. Counts nothing: limiters decide for themselves. */
  covering<K extends Kind>(kind: K, target: Target): Strike<K>[];
  /** Counts one strike of a fault returned by `covering`. */
  recordStrike(fault: Fault): void;
}

interface Entry extends ActiveFault {
  until: number;
  random: () => number;
  memory: Map<string, number>;
  matches: (path: string) => boolean;
}

export function createFaults(onChange: (action: "set" | "removed", kind: Kind) => void): Faults {
  const entries = new Map<string, Entry>();
  let next = 1;

  const remove = (id: string): boolean => {
    const entry = entries.get(id);
    if (!entry) return false;
    entries.delete(id);
    onChange("removed", entry.fault.kind);
    return true;
  };
  const live = (): Entry[] => {
    for (const [id, entry] of entries) if (performance.now() >= entry.until) remove(id);
    return [...entries.values()];
  };
  const countStrike = (entry: Entry) => {
    entry.struck += 1;
    if (entry.fault.count !== undefined && entry.struck >= entry.fault.count) remove(entry.id);
  };

  return {
    set: (fault) => {
      const id = `fault_${next++}`;
      entries.set(id, newEntry(id, fault));
      onChange("set", fault.kind);
      return () => void remove(id);
    },
    remove,
    clear: () => {
      for (const id of [...entries.keys()]) remove(id);
    },
    list: () => live().map(({ id, fault, struck }) => ({ id, fault, struck })),
    strike: (kind, target) => {
      if (entries.size === 0) return undefined;
      for (const entry of live()) {
        const strike = strikeOf(kind, entry, target);
        if (!strike || entry.random() >= (entry.fault.probability ?? 1)) continue;
        countStrike(entry);
        return strike;
      }
      return undefined;
    },
    covering: (kind, target) =>
      entries.size === 0 ? [] : live().flatMap((entry) => strikeOf(kind, entry, target) ?? []),
    recordStrike: (fault) => {
      for (const entry of entries.values()) if (entry.fault === fault) return countStrike(entry);
    },
  };
}

function newEntry(id: string, fault: Fault): Entry {
  const path = "path" in fault ? fault.path : undefined;
  return {
    id,
    fault,
    struck: 0,
    until: performance.now() + (fault.forMs ?? Number.POSITIVE_INFINITY),
    random: createRandom(fault.seed ?? 1),
    memory: new Map(),
    matches: pathMatcher(path ?? "/api/v1/**"),
  };
}

function strikeOf<K extends Kind>(kind: K, entry: Entry, target: Target): Strike<K> | undefined {
  const { fault, memory, random } = entry;
  if (!isKind(fault, kind) || !covers(entry, target)) return undefined;
  const draw = (duration: Duration) =>
    typeof duration === "number" ? duration : duration[0] + random() * (duration[1] - duration[0]);
  return { fault, memory, random, draw };
}

const isKind = <K extends Kind>(fault: Fault, kind: K): fault is FaultOf<K> => fault.kind === kind;

function covers({ fault, matches }: Entry, target: Target): boolean {
  if ("user" in fault && fault.user !== undefined && fault.user !== target.user) return false;
  if ("method" in fault && fault.method !== undefined && fault.method.toUpperCase() !== target.method) return false;
  if ("eventTypes" in fault && fault.eventTypes && !fault.eventTypes.includes(target.eventType ?? "")) return false;
  return target.path === undefined || matches(target.path);
}

/** `*`, `{name}` and `:name` match one segment, `**` any number. */
function pathMatcher(pattern: string): (path: string) => boolean {
  const source = pattern
    .split("/")
    .map((segment) => {
      if (segment === "**") return ".*";
      if (segment === "*" || /^(?:\{.+\}|:.+)$/.test(segment)) return "[^/]+";
      return segment.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", "[^/]*");
    })
    .join("/");
  const expression = new RegExp(`^${source}$`);
  return (path) => expression.test(path);
}
