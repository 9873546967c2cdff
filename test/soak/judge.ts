import { execFile } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, promisify } from "node:util";
import type { Emulator } from "kinde-emulator";
import { scanStart } from "../../src/redis/records.ts";
import type { Store } from "../../src/store.ts";
import { expected, parseHeld } from "../support/comparison.ts";
import type { SoakDeployment } from "./deployment.ts";
import type { Ledgerwatch } from "./watch.ts";

const settlesWithinMs = 15 * 60_000;
/** Redis starts again within seconds, and connections are opened again within one more. */
const reachableWithinMs = 60_000;
const perRead = 500;

/** Options for {@link judgeEnd}. */
export interface EndOptions {
  deployment: SoakDeployment;
  watch: Ledgerwatch;
  say: (line: string) => void;
  fail: (promise: string, detail: string) => void;
}

/** Judges a deployment after the last fault: everything must settle, and `kindling verify` must find nothing. */
export async function judgeEnd(options: EndOptions): Promise<void> {
  const { deployment, say, fail } = options;
  deployment.emulator.faults.clear();
  // The last fault can have been one of Redis.
  await reachable(deployment.store);
  if (!(await settles(options))) return;
  const failed = await askKindling(["failed"], deployment);
  if (!isDeepStrictEqual(failed.failures, [])) fail("nothing is left as failed", JSON.stringify(failed.failures));
  const verified = await askKindling(["verify", "--all"], deployment);
  const { checked, drifted, failed: unanswered, causes } = verified;
  say(`kindling verify --all: ${checked} checked, ${drifted} drifted, ${unanswered} without an answer`);
  if (drifted !== 0 || unanswered !== 0) fail("kindling verify finds no drift", JSON.stringify(causes));
}

async function reachable({ redis }: Store): Promise<void> {
  const deadline = performance.now() + reachableWithinMs;
  while (performance.now() < deadline) {
    const answered = await redis.ping().catch(() => undefined);
    if (answered !== undefined) return;
    await delay(500);
  }
}

async function settles({ deployment, watch, say, fail }: EndOptions): Promise<boolean> {
  const deadline = performance.now() + settlesWithinMs;
  let left = "nothing that was looked at";
  while (performance.now() < deadline) {
    // A connection can still be lost here: that is looked at again, like anything else that has not settled.
    left = await describeUnsettled(deployment, watch).catch((error: Error) => `no answer (${error.message})`);
    if (left === "") {
      say("settled: every record matches Kinde");
      return true;
    }
    say(`settling: ${left}`);
    await delay(5_000);
  }
  fail("everything settles", `Fifteen minutes after the last fault: ${left}`);
  return false;
}

/** Describes what has not settled; empty if everything has. */
async function describeUnsettled({ emulator, store }: SoakDeployment, watch: Ledgerwatch): Promise<string> {
  await watch.check();
  const { size, failed } = await store.ledger.size();
  const { refresh, bulk, requests, confirm, fanout } = store.queues;
  const jobs = await Promise.all([refresh, bulk, requests, confirm, fanout].map((queue) => queue.count()));
  const figures = {
    deliveries: emulator.deliveries.pending(),
    "unreflected events": watch.outstanding,
    ledger: size,
    "fan-outs": (await store.fanoutLedger.size()).size,
    "confirming refreshes": await store.redis.zcard(store.keys.ledgerPart("confirm")),
    failed,
    jobs: jobs.reduce((sum, count) => sum + count, 0),
    absences: (await store.absences.summary()).users,
  };
  const left = Object.entries(figures).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : []));
  if (left.length > 0) return left.join(", ");
  const different = await differences(emulator, store);
  return different.length === 0
    ? ""
    : `${different.length} records that differ, such as ${different.slice(0, 3).join("; ")}`;
}

/** Describes the users whose record does not match Kinde. */
async function differences(emulator: Emulator, store: Store): Promise<string[]> {
  const { kinde } = emulator;
  const ids = [...kinde.userIds()];
  const found: string[] = [];
  for (let from = 0; from < ids.length; from += perRead) {
    const page = ids.slice(from, from + perRead);
    const texts = await store.publicRedis.mget(page.flatMap((id) => [store.keys.flags(id), store.keys.profile(id)]));
    for (const [index, id] of page.entries()) {
      const held = parseHeld(texts[2 * index] ?? null, texts[2 * index + 1] ?? null);
      const wanted = expected(kinde.user(id));
      if (!isDeepStrictEqual(held, wanted))
        found.push(`${id}: ${JSON.stringify(held)} is not ${JSON.stringify(wanted)}`);
    }
  }
  let place = scanStart;
  do {
    const page = await store.records.scanIds(place, perRead);
    place = page;
    for (const id of page.userIds) if (kinde.user(id) === undefined) found.push(`${id} was deleted and has a record`);
  } while (place.cursor !== scanStart.cursor);
  return found;
}

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Runs a `kindling` command and returns its JSON. */
async function askKindling(
  args: readonly string[],
  { env }: Pick<SoakDeployment, "env">,
): Promise<Record<string, unknown>> {
  const command = ["--import", "tsx", main, ...args, "--json"];
  const options = { env: { PATH: process.env.PATH, ...env }, maxBuffer: 32 * 1024 ** 2 };
  // `verify` exits with 1 if it finds something: the answer says what.
  const { stdout } = await promisify(execFile)(process.execPath, command, options).catch(
    (error: { stdout?: string; stderr?: string }) => {
      if (error.stdout === undefined || error.stdout === "") throw new Error(`kindling ${args[0]}: ${error.stderr}`);
      return { stdout: error.stdout };
    },
  );
  return JSON.parse(stdout) as Record<string, unknown>;
}
