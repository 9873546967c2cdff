import type { Keys } from "../auth/keys.ts";
import type { Faults } from "../faults/faults.ts";
import type { LogEntry } from "../types.ts";
import type { Job } from "./delivery-log.ts";
import { userOfEvent } from "./events.ts";
import type { AttemptResult, Poster } from "./post.ts";
import type { Registry } from "./registry.ts";

/** Attempts at once per webhook: an endpoint that does not answer must not hold up the others. */
const MAX_CONCURRENT = 64;

export interface AttemptDeps {
  keys: Keys;
  faults: Faults;
  registry: Registry;
  poster: Poster;
  onEvent: (entry: LogEntry) => void;
}

/** Makes one HTTP attempt. Each attempt is signed again, so a retry after a key rotation uses the new key. */
export function createAttempts({ keys, faults, registry, poster, onEvent }: AttemptDeps) {
  const gates = new Map<string, ReturnType<typeof createGate>>();
  const gateOf = (webhookId: string) => {
    const gate = gates.get(webhookId) ?? createGate(MAX_CONCURRENT);
    gates.set(webhookId, gate);
    return gate;
  };
  return (job: Job): Promise<AttemptResult> =>
    gateOf(job.delivery.webhookId)(async () => {
      const { delivery, event } = job;
      const webhook = registry.get(delivery.webhookId);
      if (!webhook?.enabled) return "unreachable";
      const token = await keys.sign(event);
      const headers = { "content-type": "application/jwt", "webhook-id": delivery.id };
      const answered = await poster.post(webhook.endpoint, token, headers);
      const target = { user: userOfEvent(event), eventType: event.type };
      const result = faults.strike("lose_ack", target) ? "timeout" : answered;
      delivery.attempts += 1;
      delivery.statuses.push(result);
      onEvent({
        type: "attempt",
        eventId: event.event_id,
        event: event.type,
        attempt: delivery.attempts,
        status: result,
      });
      return result;
    });
}

/** Runs at most `limit` tasks concurrently; the others wait. */
function createGate(limit: number) {
  let free = limit;
  const waiting: (() => void)[] = [];
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
}
