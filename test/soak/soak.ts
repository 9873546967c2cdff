import { appendFileSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { createKindling } from "kindling";
import definitions from "../../kindling.flags.ts";
import { createRandom, deriveSeed } from "../campaign/sim/random.ts";
import { type SoakDeployment, startDeployment } from "./deployment.ts";
import { planFaults, type Stage, strikeAll } from "./faults.ts";
import { judgeEnd } from "./judge.ts";
import { createLife, markerProperty } from "./life.ts";
import { readAlways } from "./readers.ts";
import { drawSoak } from "./report.ts";
import { growthOf, growthWords, ownName, type Sample, sampleWords, takeSample } from "./samples.ts";
import { createLedgerwatch } from "./watch.ts";

/** Options for {@link runSoak}. */
export interface SoakOptions {
  minutes: number;
  /** Events per second. */
  rate: number;
  users: number;
  seed: number;
  /** Where to write samples, summary and the processes' output. */
  folder: string;
  /** Ends the run early, which then counts as failed. */
  stop: AbortSignal;
  say: (line: string) => void;
}

const sampleMs = 10_000;
const checkMs = 500;
/** A run that breaks more promises ends. */
const mostViolations = 20;
/** Shorter runs say nothing about growth. */
const flatFromMinutes = 60;
/** Growth over the last two thirds that counts as flat. */
const flatShare = 0.1;

/** Runs a soak. Returns whether every promise was kept. */
export async function runSoak(options: SoakOptions): Promise<boolean> {
  const { minutes, rate, users, seed, folder, stop, say } = options;
  const random = (name: string) => createRandom(deriveSeed(seed, name));
  const violations: string[] = [];
  // Not AbortSignal.timeout: Node.js 20 forgets one that only AbortSignal.any refers to.
  const over = new AbortController();
  const fail = (promise: string, detail: string) => {
    violations.push(`${promise}: ${detail}`);
    say(`✗ ${promise}: ${detail}`);
    if (violations.length >= mostViolations) over.abort();
  };
  stop.addEventListener("abort", () => over.abort(), { once: true });
  const ids: string[] = [];
  const watch = createLedgerwatch({ random: random("watch"), ids, fail });
  say(`${users} users, ${rate} events per second, seed ${seed}; results are written to ${folder}`);
  const deployment = await startDeployment({
    users,
    seed,
    folder,
    onEvent: watch.onEvent,
    onExit: (name, code) => fail("processes keep running", `${name} ended with code ${code}`),
  });
  const { emulator, store, server, workers } = deployment;
  const kindling = openReaders(deployment);
  try {
    ids.push(...emulator.kinde.userIds());
    watch.begin(emulator.kinde, store);
    // A call over the internet takes longer than one on loopback.
    emulator.faults.set({ kind: "latency", ms: [5, 25] });
    const planned = planFaults(seed, minutes * 60_000);
    say(`the store is complete; ${planned.length} faults in ${minutes} minutes begin`);
    const startedAt = performance.now();
    const timer = setTimeout(() => over.abort(), minutes * 60_000);
    const samples: Sample[] = [];
    const sample = async () => {
      const one = await takeSample({ store, processes: [server, ...workers], watch, startedAt });
      samples.push(one);
      appendFileSync(`${folder}samples.jsonl`, `${JSON.stringify(one)}\n`);
      if (samples.length % 6 === 0) say(sampleWords(one));
    };
    const life = createLife({ emulator, ids, random: random("life"), watch, rate, write: kindling.write });
    const [faults, reads] = await Promise.all([
      strikeAll(planned, stageOf(deployment, ids), over.signal, say),
      readAlways({ ...kindling, ids, random: random("reads"), fail, signal: over.signal }),
      life.run(over.signal),
      every(checkMs, over.signal, watch.check),
      every(sampleMs, over.signal, sample),
    ]);
    const ranMinutes = (performance.now() - startedAt) / 60_000;
    clearTimeout(timer);
    say("load and faults are over");
    if (stop.aborted) fail("the run is complete", "It was stopped.");
    else if (violations.length < mostViolations) await judgeEnd({ deployment, watch, say, fail });
    const growth = growthOf(samples);
    for (const one of growth) {
      say(growthWords(one));
      if (minutes >= flatFromMinutes && one.name !== ownName && one.share > flatShare)
        fail("memory is flat", growthWords(one));
    }
    if (minutes >= flatFromMinutes) {
      const title = `${Math.round(ranMinutes)} minutes at ${rate} events per second; marks are faults`;
      await drawSoak(
        title,
        samples,
        planned.map(({ at }) => at),
      );
    }
    const counts = { changes: Object.fromEntries(life.counts), reads: Object.fromEntries(reads) };
    const { events, acknowledged, lost, checks } = watch;
    const figures = { minutes, ranMinutes, rate, users, seed, events, acknowledged, lost, checks, ...counts };
    const summary = { ...figures, faults: Object.fromEntries(faults), growth, violations };
    writeFileSync(`${folder}summary.json`, `${JSON.stringify(summary, undefined, 2)}\n`);
    say(`${acknowledged} events acknowledged, ${violations.length} broken promises`);
    return violations.length === 0;
  } finally {
    kindling.close();
    await deployment.close();
  }
}

async function every(ms: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await work();
    await delay(ms, undefined, { signal }).catch(() => undefined);
  }
}

function stageOf({ emulator, redis, connection, server, workers }: SoakDeployment, ids: readonly string[]): Stage {
  const redisPid = async () => Number(/^process_id:(\d+)/m.exec(await connection.info("server"))?.[1]);
  // The first users are the busy ones: see life.ts.
  const busyUser = (choice: number) => ids[choice % 10] ?? "";
  return { emulator, redis, connection, redisPid, server, workers, busyUser };
}

/** Opens what an app would use. */
function openReaders({ redis: { url: redisUrl }, url, token }: SoakDeployment) {
  const redis = new Redis(redisUrl);
  redis.on("error", () => undefined);
  const fromRedis = createKindling({ definitions, redis, url, token });
  const overHttp = createKindling({ definitions, url, token });
  return {
    fromRedis: fromRedis.get,
    overHttp: overHttp.get,
    /** Returns whether Kindling accepted the value. */
    write: (userId: string, marker: string) =>
      fromRedis.setProperties(userId, { [markerProperty]: marker }).then(
        () => true,
        () => false,
      ),
    close() {
      fromRedis.close();
      overHttp.close();
      redis.disconnect();
    },
  };
}
