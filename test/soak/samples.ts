import { readMemory } from "../../src/redis/memory.ts";
import type { Store } from "../../src/store.ts";
import { type KindlingProcess, residentBytes } from "./fleet.ts";
import type { Ledgerwatch } from "./watch.ts";

/** What one moment of a soak looked like. Absent figures could not be read: a process or Redis was away. */
export interface Sample {
  /** Seconds since the start. */
  at: number;
  events: number;
  acknowledged: number;
  lost: number;
  /** Users with an acknowledged event that no record reflects yet. */
  outstanding: number;
  /** Resident memory in bytes, by process. */
  memory: Record<string, number>;
  redis?: { usedMemory: number; ledger: number; failed: number; confirm: number; jobs: Record<string, number> };
}

/** The soak's own process. It holds the emulator, which remembers every change for an hour. */
export const ownName = "soak and emulator";

/** Options for {@link takeSample}. */
export interface SampleOptions {
  store: Store;
  processes: readonly KindlingProcess[];
  watch: Ledgerwatch;
  startedAt: number;
}

/** Takes a sample. */
export async function takeSample({ store, processes, watch, startedAt }: SampleOptions): Promise<Sample> {
  const pids = new Map(processes.map(({ name, pid }) => [name, pid]));
  const [bytes, redis] = await Promise.all([
    residentBytes([...pids.values(), process.pid].filter((pid) => pid !== undefined)),
    readRedis(store).catch(() => undefined),
  ]);
  const memory: Record<string, number> = {};
  for (const [name, pid] of [...pids, [ownName, process.pid] as const]) {
    const resident = pid === undefined ? undefined : bytes.get(pid);
    if (resident !== undefined) memory[name] = resident;
  }
  return {
    at: Math.round((performance.now() - startedAt) / 1000),
    events: watch.events,
    acknowledged: watch.acknowledged,
    lost: watch.lost,
    outstanding: watch.outstanding,
    memory,
    ...(redis !== undefined && { redis }),
  };
}

async function readRedis({ redis, publicRedis, keys, ledger, queues }: Store): Promise<NonNullable<Sample["redis"]>> {
  const { refresh, bulk, requests, confirm, fanout, sweep } = queues;
  const watched = { refresh, bulk, requests, confirm, fanout, sweep };
  const [{ used }, { size, failed }, confirming, ...counts] = await Promise.all([
    readMemory(publicRedis),
    ledger.size(),
    redis.zcard(keys.ledgerPart("confirm")),
    ...Object.values(watched).map((queue) => queue.getJobCountByTypes("waiting", "active", "delayed", "prioritized")),
  ]);
  const jobs = Object.fromEntries(Object.keys(watched).map((name, index) => [name, counts[index] ?? 0]));
  return { usedMemory: used, ledger: size, failed, confirm: confirming, jobs };
}

/** How the memory of one process or of Redis developed over the last two thirds of a soak. */
export interface Growth {
  name: string;
  /** Median, in bytes. */
  median: number;
  /** Bytes per hour. */
  slope: number;
  /** Growth over the time that was looked at, as a share of the median. */
  share: number;
}

/** Returns the growth of everything that samples name. */
export function growthOf(samples: readonly Sample[]): Growth[] {
  const end = samples.at(-1)?.at ?? 0;
  const late = samples.filter(({ at }) => at >= end / 3);
  const names = [...new Set(late.flatMap(({ memory }) => Object.keys(memory)))];
  const series = [
    ...names.map((name) => ({ name, points: late.map(({ at, memory }) => [at, memory[name]] as const) })),
    { name: "redis", points: late.map(({ at, redis }) => [at, redis?.usedMemory] as const) },
  ];
  return series.map(({ name, points }) => {
    const known = points.filter((point): point is readonly [number, number] => point[1] !== undefined);
    const middle = median(known.map(([, bytes]) => bytes));
    const slope = medianSlope(known);
    return { name, median: middle, slope: slope * 3600, share: (slope * (end - (late[0]?.at ?? 0))) / middle };
  });
}

/** Returns the median of the slopes between all pairs of points: faults cause spikes, which a fitted line would follow. */
function medianSlope(points: readonly (readonly [number, number])[]): number {
  const slopes = points.flatMap(([x, y], index) => points.slice(index + 1).map(([x2, y2]) => (y2 - y) / (x2 - x)));
  return slopes.length === 0 ? 0 : median(slopes);
}

function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const mebibyte = 1024 ** 2;

/** Describes a sample in one line. */
export function sampleWords({ acknowledged, outstanding, memory, redis }: Sample): string {
  const parts = Object.entries(memory).map(([name, bytes]) => `${name} ${Math.round(bytes / mebibyte)} MiB`);
  if (redis !== undefined) parts.push(`Redis ${Math.round(redis.usedMemory / mebibyte)} MiB`, `ledger ${redis.ledger}`);
  return `${acknowledged} events acknowledged, ${outstanding} outstanding; ${parts.join(", ")}`;
}

/** Describes growth in one line. */
export function growthWords({ name, median: middle, slope, share }: Growth): string {
  const perHour = (slope / mebibyte).toFixed(1);
  return `${name}: ${Math.round(middle / mebibyte)} MiB, ${perHour} MiB per hour, ${(share * 100).toFixed(1)} % in the last two thirds`;
}
