import type { Tokens } from "../auth/tokens.ts";
import type { CallLog, Stats } from "../types.ts";

const KEPT = 1000;

/** Counts calls. `begin` returns the function to call when the call ends. */
export interface Counter {
  begin(method: string, route: string): (user: string | null, status: CallLog["status"]) => CallLog;
}

export function createStats(
  tokens: Pick<Tokens, "issued" | "reset">,
  now: () => number,
): { stats: Stats; counter: Counter } {
  let calls: Record<string, number> = {};
  let recent: CallLog[] = [];
  let total = 0;
  let tooMany = 0;
  let inFlight = 0;
  let maxConcurrent = 0;

  const stats: Stats = {
    get tokensIssued() {
      return tokens.issued;
    },
    get calls() {
      return { ...calls };
    },
    get total() {
      return total;
    },
    get tooMany() {
      return tooMany;
    },
    get maxConcurrent() {
      return maxConcurrent;
    },
    get recent() {
      return recent.slice(-KEPT);
    },
    reset: () => {
      calls = {};
      recent = [];
      total = tooMany = 0;
      maxConcurrent = inFlight;
      tokens.reset();
    },
  };
  const begin: Counter["begin"] = (method, route) => {
    const isApi = route.startsWith("/api/");
    const [at, started, name] = [now(), performance.now(), `${method} ${route}`];
    calls[name] = (calls[name] ?? 0) + 1;
    if (isApi) {
      total += 1;
      inFlight += 1;
      maxConcurrent = Math.max(maxConcurrent, inFlight);
    }
    return (user, status) => {
      if (isApi) inFlight -= 1;
      if (isApi && status === 429) tooMany += 1;
      const entry = { at, method, route, user, status, ms: Math.round(performance.now() - started) };
      recent.push(entry);
      if (recent.length > 2 * KEPT) recent = recent.slice(-KEPT);
      return entry;
    };
  };
  return { stats, counter: { begin } };
}
