import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { defaults } from "../support/defaults.ts";
import { runNode } from "../support/run-node.ts";
import type { Freshness } from "./freshness.ts";

const minute = 60_000;

describe("with default settings, on a simulated clock", () => {
  let played: Freshness;

  beforeAll(async () => {
    // In a process of its own, as it replaces clocks and timers.
    const main = fileURLToPath(new URL("freshness.ts", import.meta.url));
    const { code, output } = await runNode(["--import", "tsx", main]);
    expect(code, output).toBe(0);
    played = JSON.parse(output) as Freshness;
  }, 180_000);

  it("an event is readable in less than 1 s", () => {
    const { events } = played;
    expect(Object.keys(events)).toEqual(["sign-in", "suspension, if it sends one", "roles", "deletion", "sign-up"]);
    for (const [event, waited] of Object.entries(events)) expect(waited ?? Number.NaN, event).toBeLessThan(1_000);
  });

  it("an event is readable within a minute if Kinde answers from a copy that lags", () => {
    const { lagging } = played;
    // Not before the copies show it.
    expect(lagging).toBeGreaterThan(8_000);
    expect(lagging).toBeLessThanOrEqual(minute);
  });

  it("a written property is readable when the call returns", () => {
    expect(played.written).toBe(true);
  });

  it("edits, imports, suspensions, departures and lost webhooks show within the stated time, less than a minute", () => {
    const { stated, unannounced } = played;
    const withinMs = stated.bound?.withinMs ?? Number.NaN;
    expect(withinMs).toBeLessThan(minute);
    expect(Object.keys(unannounced)).toEqual(["edit", "import", "suspension", "departure", "lost webhook"]);
    for (const [change, waits] of Object.entries(unannounced)) {
      expect(waits).toHaveLength(3);
      for (const waited of waits) expect(waited ?? Number.NaN, change).toBeLessThanOrEqual(withinMs);
    }
  });

  it("a deletion without an event shows after two sweeps and 10 minutes", () => {
    const { deleted, stated } = played;
    const { observations, gapMs } = defaults.absence;
    expect(deleted).toBeGreaterThan((observations - 1) * gapMs);
    const sweepsMs = 2 * (stated.bound?.withinMs ?? Number.NaN);
    expect(deleted).toBeLessThanOrEqual(sweepsMs + 10 * minute + defaults.watchIntervalMs);
  });

  it("roles, permissions and plans show within the times that the status states", () => {
    const { roles, permissions, otherPermissions, plans } = played.stated.walks;
    const walks = { role: roles, "permission that a flag reads": permissions, "other permission": otherPermissions };
    for (const [grant, walk] of Object.entries({ ...walks, plan: plans })) {
      const waited = played.grants[grant as keyof Freshness["grants"]] ?? Number.NaN;
      expect(waited, grant).toBeLessThanOrEqual(walk?.withinMs ?? Number.NaN);
    }
  });

  it("a phone number shows at the user's next refresh, whatever causes it, and in no sweep before", () => {
    const { phone } = played;
    expect(Object.keys(phone)).toHaveLength(3);
    for (const [cause, { swept, refreshed }] of Object.entries(phone)) {
      expect(swept, cause).toBeNull();
      expect(refreshed ?? Number.NaN, cause).toBeLessThan(minute);
    }
  });
});
