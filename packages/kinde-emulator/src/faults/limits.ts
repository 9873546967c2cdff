import { type Reply, tooMany } from "../http/reply.ts";
import type { Faults, Strike, Target } from "./faults.ts";

/** Refused with a 429, or let in until `leave`. */
export type Admission = { refusal: Reply } | { leave: () => void };

/** The rate and concurrency limiters, and the 429 that comes whatever the load. */
export function admit(faults: Faults, target: Target): Admission {
  const forced = faults.strike("too_many_requests", target);
  if (forced) return { refusal: tooMany(forced.fault.resetSeconds ?? 1) };
  for (const strike of faults.covering("rate_limit", target)) {
    const resetMs = waitOf(strike);
    if (resetMs === 0) continue;
    faults.spend(strike.fault);
    return { refusal: tooMany(resetMs / 1000) };
  }
  return admitAtOnce(faults, target);
}

/** Milliseconds until the window reopens; 0 with one call of it taken when there is room. */
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

function admitAtOnce(faults: Faults, target: Target): Admission {
  const limits = faults.covering("concurrency_limit", target);
  const inHand = ({ memory }: Strike<"concurrency_limit">) => memory.get("inHand") ?? 0;
  const full = limits.find((strike) => inHand(strike) >= strike.fault.max);
  if (full) {
    faults.spend(full.fault);
    return { refusal: tooMany(full.fault.resetSeconds ?? 1) };
  }
  for (const strike of limits) strike.memory.set("inHand", inHand(strike) + 1);
  return {
    leave: () => {
      for (const strike of limits) strike.memory.set("inHand", inHand(strike) - 1);
    },
  };
}
