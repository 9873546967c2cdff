import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { Command } from "commander";
import { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Terminal } from "../../src/cli/terminal.ts";
import { addDemo } from "../../src/demo/command.ts";
import { expectEqual } from "../../src/demo/mismatch.ts";
import type { Step } from "../../src/demo/step.ts";
import { signUp } from "../../src/demo/steps/sign-up.ts";
import { story } from "../../src/demo/story.ts";
import { type Spawned, spawnKindling } from "../cli/command-line.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { until } from "../support/until.ts";

const broken: Step = {
  title: "A promise that is not kept",
  run: async () => {
    expectEqual("Colour of the sky", "grey", "blue");
    return "never said";
  },
};

describe("kindling demo, on a machine with nothing", () => {
  let folder: string;
  let spawned: Spawned | undefined;

  // The demo's Redis keeps its folder in there, and is told by it among the processes.
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "kindling-demo-"));
  });

  afterEach(async () => {
    spawned?.child.kill("SIGKILL");
    await spawned?.ended;
    await rm(folder, { recursive: true, force: true });
  });

  const demo = (...args: string[]) => {
    spawned = spawnKindling(["demo", ...args], { TMPDIR: folder });
    return spawned;
  };
  const leftovers = () =>
    execFileSync("ps", ["-A", "-o", "args"], { encoding: "utf8" })
      .split("\n")
      .filter((line) => line.includes(folder));

  it("tells the whole story, checked, and leaves nothing behind", { timeout: 60_000 }, async () => {
    const { code, stdout, stderr } = await demo("--exit").ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const { title } of story) expect(stdout).toContain(title);
    expect(stdout.match(/✓/g)).toHaveLength(story.length);
    expect(stdout).toMatch(
      /> GET kindling:flags:\{kp_\w+\}\n +\{"flags":\{"onboarded":true,"tier":"pro","region":"eu"/,
    );
    expect(stdout).toMatch(/> writer\.setProperties\("kp_\w+", \{ onboarded: true \}\)\n +\{"onboarded":true/);
    expect(stdout).toMatch(/✓ set in Kinde and right for every reader after .+, with no webhook at all/);
    expect(stdout).toMatch(/202 users compared in 1 call: Bob differs, 100 had been imported/);
    expect(stdout).toMatch(/✓ Bob was right .+ after the sweep began; the next one found nothing, in 1 call/);
    expect(stdout).toBe(stripVTControlCharacters(stdout));
    expect(leftovers()).toEqual([]);
    expect((await readdir(folder)).filter((name) => name.startsWith("kindling-redis"))).toEqual([]);
  });

  it("stays and serves until Ctrl-C, which ends everything with 0", { timeout: 60_000 }, async () => {
    const { child, stdout, ended } = demo();
    const readiness = /curl (http:\S+\/readyz)/;
    await until(() => expect(stdout()).toMatch(readiness), 50_000);
    expect((await fetch(String(readiness.exec(stdout())?.[1]))).status).toBe(200);
    const [, url = "", authorization = "", body = ""] =
      /curl (\S+\/v1\/\S+) -H 'authorization: (.+?)' -d '(.+?)'/.exec(stdout()) ?? [];
    const set = await fetch(url, { method: "POST", headers: { authorization }, body });
    expect(await set.json()).toMatchObject({ flags: { tier: "free" } });
    child.kill("SIGINT");
    expect((await ended).code).toBe(0);
    expect(leftovers()).toEqual([]);
    expect((await readdir(folder)).filter((name) => name.startsWith("kindling-redis"))).toEqual([]);
  });

  it("takes its Redis along even when it is killed", { timeout: 60_000 }, async () => {
    const { child, says } = demo();
    await says(/1 {2}A user signs up/);
    expect(leftovers()).not.toEqual([]);
    child.kill("SIGKILL");
    await until(() => expect(leftovers()).toEqual([]));
  });
});

describe("kindling demo, with a Redis given", () => {
  const run = async (steps: readonly Step[], args: readonly string[], stop = new AbortController()) => {
    let [told, code] = ["", 0];
    const stdout = new PassThrough().on("data", (chunk: Buffer) => {
      told += chunk.toString();
    });
    const terminal: Terminal = {
      env: { REDIS_URL: testRedisUrl() },
      stdout,
      stderr: new PassThrough(),
      world: { fetch, now: Date.now },
      stopSignal: () => stop.signal,
    };
    const exitWith = (found: number) => {
      code = found;
    };
    const program = new Command();
    addDemo(program, { terminal, exitWith, steps });
    const done = program.parseAsync(["demo", ...args], { from: "user" });
    return { told: () => told, done: done.then(() => code) };
  };
  const demoKeys = async () => {
    const redis = new Redis(testRedisUrl());
    const keys = await redis.keys("*kindling-demo-*");
    redis.disconnect();
    return keys;
  };

  it("exits with 1 at the first broken promise, and says what was expected and what was found", async () => {
    const { told, done } = await run([signUp, broken, signUp], []);
    expect(await done).toBe(1);
    expect(told()).toContain('✗ Colour of the sky\n     expected "blue"\n     found    "grey"');
    expect(told().match(/A user signs up/g)).toHaveLength(1);
    expect(await demoKeys()).toEqual([]);
  });

  it("removes its keys when it is stopped", async () => {
    const stop = new AbortController();
    const { told, done } = await run([signUp], [], stop);
    await until(() => expect(told()).toContain("Ctrl-C"));
    expect(await demoKeys()).not.toEqual([]);
    stop.abort();
    expect(await done).toBe(0);
    expect(await demoKeys()).toEqual([]);
  });
});
