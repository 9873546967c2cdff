import { loadStoreConfig } from "../../src/config.ts";
import { roundMs } from "../../src/sweep/check-recent.ts";
import { slotMs } from "../../src/sweep/pace.ts";
import type { FinishedSweep } from "../../src/sweep/sweep-log.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";

/** Every setting with its default. */
export const defaults = loadStoreConfig({});

const { intervalMs, share, pageSize } = defaults.sweep;
/** The pace of sweeps by default. */
export const defaultPace = { intervalMs, share, pageSize, perMinute: defaults.calls.perMinute };

/** Returns the last sweep of this many users as the default pace runs it, if each page takes this long. Milliseconds. */
export function plannedSweep(users: number, pageMs = 50): FinishedSweep {
  const calls = Math.ceil(users / pageSize) + 1;
  const slot = Math.max(pageMs, slotMs({ ...defaultPace, calls }));
  const state = beginSweep({ number: 1, previous: undefined, now: 0, fill: false });
  return { ...state, users, calls, lateMs: 0, finishedAt: Math.round(calls * slot) };
}

/** Returns how far apart two checks of a user are if as many are active as the default lets be. Milliseconds. */
export function recentRoundMs(): number {
  const { users, ...pace } = defaults.recent;
  return roundMs(users, { ...pace, perMinute: defaults.calls.perMinute });
}
