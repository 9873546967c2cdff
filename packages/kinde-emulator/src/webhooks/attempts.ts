import type { Keys } from "../auth/keys.ts";
import type { Faults } from "../faults/faults.ts";
import type { LogEntry } from "../types.ts";
import type { Job } from "./delivery-log.ts";
import { userOfEvent } from "./events.ts";
import { createGate } from "./gate.ts";
import type { AttemptResult, Poster } from "./post.ts";
import type { Registry } from "./registry.ts";

const AT_ONCE = 64;

export interface AttemptDeps {
  keys: Keys;
  faults: Faults;
  registry: Registry;
  poster: Poster;
  onEvent: (entry: LogEntry) => void;
}

/**
 * One HTTP attempt of a delivery. Signed each time with the key of the moment, so that a retry after a rotation
 * carries the new one; the payload stays the same.
 */
export function createAttempts({ keys, faults, registry, poster, onEvent }: AttemptDeps) {
  const gate = createGate(AT_ONCE);
  return (job: Job): Promise<AttemptResult> =>
    gate(async () => {
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
