import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { runNode } from "../support/run-node.ts";

// Seed 25 is played twice, the second time with a slow Redis: its traces must be equal.
it("keeps every promise in a few random schedules, which replay exactly", async () => {
  // In a process of its own, as it replaces clocks and timers.
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const options = ["--seeds", "3", "--from", "24", "--workers", "1"];
  const { code, output } = await runNode(["--import", "tsx", main, ...options]);
  expect(output).toContain("Schedules: 3");
  expect(code, output).toBe(0);
}, 180_000);
