import type { ActiveFault, Duration, Fault } from "../fault-types.ts";
import { createRandom } from "../state/random.ts";
import { matcher } from "./path-pattern.ts";

/** Where a fault may strike: the call or delivery at hand. */
export interface Target {
  path?: string;
  method?: string;
  user?: string | undefined;
  eventType?: string;
}

export type Kind = Fault["kind"];
export type FaultOf<K extends Kind> = Extract<Fault, { kind: K }>;

/** A fault that struck. `memory` is one object for the fault's whole life; `draw` turns a duration into milliseconds. */
export interface Strike<K extends Kind> {
  fault: FaultOf<K>;
  memory: Map<string, number>;
  draw(duration: Duration): number;
  random(): number;
}

export interface Faults {
  set(fault: Fault): () => void;
  remove(id: string): boolean;
  clear(): void;
  list(): ActiveFault[];
  /** The first fault of this kind that strikes the target, its count and chance spent. */
  strike<K extends Kind>(kind: K, target: Target): Strike<K> | undefined;
  /** All faults of this kind that cover the target, nothing spent: for limiters, which decide by themselves. */
  covering<K extends Kind>(kind: K, target: Target): Strike<K>[];
  /** Spends one strike of a fault found by `covering`. */
  spend(fault: Fault): void;
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
  const spendEntry = (entry: Entry) => {
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
        spendEntry(entry);
        return strike;
      }
      return undefined;
    },
    covering: (kind, target) =>
      entries.size === 0 ? [] : live().flatMap((entry) => strikeOf(kind, entry, target) ?? []),
    spend: (fault) => {
      for (const entry of entries.values()) if (entry.fault === fault) return spendEntry(entry);
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
    matches: matcher(path ?? "/api/v1/**"),
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
