import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { Command } from "commander";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Terminal } from "../../src/cli/terminal.ts";
import { expectEqual } from "../../src/demo/checks.ts";
import { addDemo } from "../../src/demo/command.ts";
import { createNarrator } from "../../src/demo/narrator.ts";
import { tour } from "../../src/demo/run-demo.ts";
import type { Step } from "../../src/demo/stage.ts";
import { signUp } from "../../src/demo/steps/sign-up.ts";
import { kindling, type Spawned, spawnDemo } from "../cli/command-line.ts";
import { commandLines } from "../support/processes.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { until } from "../support/until.ts";

const broken: Step = {
  title: "A step with a failing check",
  run: async () => {
    expectEqual("Color of the sky", "grey", "blue");
    return "not reached";
  },
};

const terminalOf = (env: Terminal["env"]): Terminal => ({
  env,
  stdin: new PassThrough(),
  stdout: new PassThrough(),
  stderr: new PassThrough(),
  world: { fetch, now: Date.now },
  stopSignal: () => new AbortController().signal,
  limitHeapGrowth: () => undefined,
});

describe("kindling demo without a Redis", () => {
  let folder: string;
  let spawned: Spawned | undefined;

  // The demo's Redis has its folder in here, which identifies it in the process list.
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "kindling-demo-"));
  });

  afterEach(async () => {
    spawned?.child.kill("SIGKILL");
    await spawned?.ended;
    await rm(folder, { recursive: true, force: true });
  });

  const demo = (...args: string[]) => {
    spawned = spawnDemo(args, { TMPDIR: folder });
    return spawned;
  };
  const leftovers = () => commandLines().filter((line) => line.includes(folder));

  it("runs every step of the tour and leaves no process or folder behind", { timeout: 120_000 }, async () => {
    const { code, stdout, stderr } = await demo("--exit").ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const { title } of tour) expect(stdout).toContain(title);
    expect(stdout.match(/✓/g)).toHaveLength(tour.length);
    expect(stdout).toMatch(
      /> GET kindling:flags:\{kp_\w+\}\n +\{"flags":\{"onboarded":true,"tier":"pro","region":"eu"/,
    );
    expect(stdout).toMatch(/> writer\.setProperties\("kp_\w+", \{ onboarded: true \}\)\n +\{"onboarded":true/);
    expect(stdout).toMatch(/✓ Saved in Kinde, visible to every reader after .+, without a webhook/);
    expect(stdout).toMatch(/202 users compared in 4 calls: Bob differs, 100 imported users had no record/);
    expect(stdout).toMatch(/✓ Corrected after .+; the next sweep finds nothing, in [23] calls/);
    expect(stdout).toBe(stripVTControlCharacters(stdout));
    expect(leftovers()).toEqual([]);
    expect((await readdir(folder)).filter((name) => name.startsWith("kindling-redis"))).toEqual([]);
  });

  it("keeps running after the tour and exits with 0 on Ctrl-C", { timeout: 120_000 }, async () => {
    const { child, stdout, ended } = demo();
    const readiness = /curl (http:\S+\/readyz)/;
    await until(() => expect(stdout()).toMatch(readiness), 100_000);
    expect((await fetch(String(readiness.exec(stdout())?.[1]))).status).toBe(200);
    const invitation = stdout().slice(stdout().indexOf("Dashboard:"));
    expect(Math.max(...invitation.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    const env = Object.fromEntries([...invitation.matchAll(/^ {2}export (\w+)=(\S+)$/gm)].map(([, ...pair]) => pair));
    const { json } = await kindling(["status", "--json"], env);
    expect(json).toMatchObject({ freshness: { readable: { ever: { events: 1_105 } } }, warnings: [] });
    const { stdout: diagnosis } = await kindling(["doctor"], env);
    expect(diagnosis).toContain("Fleet: 1 server, 1 worker");
    expect(diagnosis).toContain("0 failed");
    child.kill("SIGINT");
    expect((await ended).code).toBe(0);
    expect(leftovers()).toEqual([]);
    expect((await readdir(folder)).filter((name) => name.startsWith("kindling-redis"))).toEqual([]);
  });

  it("stops its Redis even when it is killed", { timeout: 120_000 }, async () => {
    const { child, stdout } = demo();
    await until(() => expect(stdout()).toContain("1  A user signs up"), 60_000);
    expect(leftovers()).not.toEqual([]);
    child.kill("SIGKILL");
    await until(() => expect(leftovers()).toEqual([]));
  });
});

describe("kindling demo with REDIS_URL", () => {
  const run = async (steps: readonly Step[], args: readonly string[], stop = new AbortController()) => {
    let [output, code] = ["", 0];
    const stdout = new PassThrough().on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    const terminal: Terminal = { ...terminalOf({ REDIS_URL: testRedisUrl() }), stdout, stopSignal: () => stop.signal };
    const exitWith = (found: number) => {
      code = found;
    };
    const program = new Command();
    addDemo(program, { terminal, exitWith, steps });
    const done = program.parseAsync(["demo", ...args], { from: "user" });
    return { output: () => output, done: done.then(() => code) };
  };
  const demoKeys = async () => {
    const redis = new Redis(testRedisUrl());
    const keys = await redis.keys("*kindling-demo-*");
    redis.disconnect();
    return keys;
  };

  it("exits with 1 at the first failed check and prints the expected and found values", async () => {
    const { output, done } = await run([signUp, broken, signUp], []);
    expect(await done).toBe(1);
    expect(output()).toContain('✗ Color of the sky\n     expected "blue"\n     found    "grey"');
    expect(output().match(/A user signs up/g)).toHaveLength(1);
    expect(await demoKeys()).toEqual([]);
  });

  it("removes its keys when stopped", async () => {
    const stop = new AbortController();
    const { output, done } = await run([signUp], [], stop);
    await until(() => expect(output()).toContain("Ctrl-C"));
    expect(await demoKeys()).not.toEqual([]);
    stop.abort();
    expect(await done).toBe(0);
    expect(await demoKeys()).toEqual([]);
  });
});

it("highlights the flags that changed since the user was last shown", () => {
  let text = "";
  const stdout = Object.assign(
    new PassThrough().on("data", (chunk: Buffer) => {
      text += chunk.toString();
    }),
    { isTTY: true, columns: 80 },
  );
  const { show } = createNarrator({ ...terminalOf({}), stdout });
  show("GET flags:{kp_1}", '{"flags":{"tier":"free","admin":false}}');
  show("GET flags:{kp_2}", '{"flags":{"tier":"pro","admin":false}}');
  expect(text).not.toContain("\u001b[33m");
  show("GET flags:{kp_1}", '{"flags":{"tier":"free","admin":true}}');
  const yellow = text.split("\u001b[33m").slice(1);
  expect(yellow.map((part) => part.split("\u001b")[0])).toEqual(['"admin":true']);
});
