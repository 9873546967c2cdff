import { type Reply, tooMany } from "../http/reply.ts";
import type { Faults, Strike, Target } from "./faults.ts";

/** Either a 429 answer, or an admitted call that must call `leave` when it ends. */
export type Admission = { refusal: Reply } | { leave: () => void };

/** Applies `too_many_requests`, the rate limiters and the concurrency limiters. */
export function admit(faults: Faults, target: Target): Admission {
  const forced = faults.strike("too_many_requests", target);
  if (forced) return { refusal: tooMany(forced.fault.resetSeconds ?? 1) };
  for (const strike of faults.covering("rate_limit", target)) {
    const resetMs = waitOf(strike);
    if (resetMs === 0) continue;
    faults.recordStrike(strike.fault);
    return { refusal: tooMany(resetMs / 1000) };
  }
  return admitConcurrent(faults, target);
}

/** Takes a call from the window and returns 0, or returns the milliseconds until the next window. */
function waitOf({ fault, memory }: Strike<"rate_limit">): number {
  const now = performance.now();
  const opened = memory.get("opened");
  if (opened === undefined || now >= opened + fault.windowMs) {
    memory.set("opened", now).set("used", 0);
  }
  const used = memory.get("used") ?? 0;
  if (used >= fault.calls) return Math.max(1, (memory.get("opened") ?? now) + fault.windowMs - now);
  memory.set("used", used + 1);
  return 0;
}

function admitConcurrent(faults: Faults, target: Target): Admission {
  const limits = faults.covering("concurrency_limit", target);
  const inFlight = ({ memory }: Strike<"concurrency_limit">) => memory.get("inFlight") ?? 0;
  const full = limits.find((strike) => inFlight(strike) >= strike.fault.max);
  if (full) {
    faults.recordStrike(full.fault);
    return { refusal: tooMany(full.fault.resetSeconds ?? 1) };
  }
  for (const strike of limits) strike.memory.set("inFlight", inFlight(strike) + 1);
  return {
    leave: () => {
      for (const strike of limits) strike.memory.set("inFlight", inFlight(strike) - 1);
    },
  };
}
