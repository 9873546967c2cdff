import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { envOf, type Spawned, spawnKindling } from "../cli/command-line.ts";
import { startEmulator } from "../support/emulator.ts";
import { dropKeys, testConfig } from "../support/stack.ts";

const folder = fileURLToPath(new URL("../../ops/systemd/", import.meta.url));
const units = readdirSync(folder);
const read = (unit: string) => readFileSync(join(folder, unit), "utf8");
const executable = "/opt/kindling/node_modules/.bin/kindling";

const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;
const analyze = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync("systemd-analyze", args, { encoding: "utf8" });
  return { status, output: stdout + stderr };
};

describe.skipIf(!hasSystemd)("systemd-analyze (skipped if it is not installed)", () => {
  let copies: string;
  beforeAll(() => {
    copies = mkdtempSync(join(tmpdir(), "kindling-units-"));
    // It demands that the command exists.
    for (const unit of units) writeFileSync(join(copies, unit), read(unit).replace(executable, process.execPath));
    writeFileSync(join(copies, "broken.service"), read("kindling.service").replace("ProtectHome=", "ProtectHouse="));
  });
  afterAll(() => rmSync(copies, { recursive: true, force: true }));

  it.each(units)("verifies %s", (unit) => {
    expect(analyze("verify", "--man=no", join(copies, unit))).toEqual({ status: 0, output: "" });
  });

  it("would notice a misspelt setting", () => {
    expect(analyze("verify", "--man=no", join(copies, "broken.service")).output).toContain("ProtectHouse");
  });

  it.each(units)("rates the exposure of %s as low", (unit) => {
    const { status, output } = analyze("security", "--offline=true", "--threshold=20", join(copies, unit));
    expect({ status, output: status === 0 ? "" : output }).toEqual({ status: 0, output: "" });
  });
});

describe("the systemd units", () => {
  const running: Spawned[] = [];
  const cleanups: (() => unknown)[] = [];

  afterEach(async () => {
    for (const { child, ended } of running.splice(0)) {
      child.kill("SIGKILL");
      await ended;
    }
    for (const clean of cleanups.splice(0).reverse()) await clean();
  });

  it.each(units)("start what %s names, and stop it within its time limit", async (unit) => {
    const [, program, args = ""] = /^ExecStart=(\S+) (.*)$/m.exec(read(unit)) ?? [];
    expect(program).toBe(executable);
    const emulator = await startEmulator();
    const config = testConfig(emulator);
    cleanups.push(
      () => emulator.close(),
      () => dropKeys(config),
    );
    const spawned = spawnKindling(args.split(" "), envOf(config));
    running.push(spawned);
    await spawned.says(/"msg":"workers started"/);
    const timeout = Number(/^TimeoutStopSec=(\d+)$/m.exec(read(unit))?.[1]);
    expect(timeout * 1000).toBeGreaterThan(config.shutdownTimeoutMs);
    spawned.child.kill("SIGTERM");
    expect((await spawned.ended).code).toBe(0);
  });
});
