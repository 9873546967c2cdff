import type { EventSource } from "../action-types.ts";
import { newId } from "../state/random.ts";

const KEPT = 10_000;

/** The payload that is signed: the fields Kinde documents, without JWT claims. */
export interface EventPayload {
  type: string;
  event_id: string;
  source: EventSource;
  timestamp: string;
  event_timestamp: string;
  data: Record<string, unknown>;
}

/** Creates events and keeps the most recent ones. */
export interface Events {
  create(type: string, data: Record<string, unknown>, source: EventSource, timestamp?: string): EventPayload;
  get(eventId: string): EventPayload | undefined;
}

export function createEvents(clock: () => string): Events {
  const events = new Map<string, EventPayload>();
  return {
    create: (type, data, source, timestamp = clock()) => {
      // Copied, because the caller can change its objects before the last retry.
      const event_id = newId.event();
      const event = { type, event_id, source, timestamp, event_timestamp: timestamp, data: structuredClone(data) };
      events.set(event_id, event);
      const oldest = events.keys().next();
      if (events.size > KEPT && !oldest.done) events.delete(oldest.value);
      return event;
    },
    get: (eventId) => events.get(eventId),
  };
}

/** Returns the id of the user an event is about, if any. */
export function userOfEvent({ data }: EventPayload): string | undefined {
  const user = data.user;
  return typeof user === "object" && user !== null && "id" in user && typeof user.id === "string" ? user.id : undefined;
}

/** Returns a clock of strictly increasing ISO 8601 timestamps with microseconds and an offset. */
export function createTimestamps(now: () => number, offsetMinutes: number): () => string {
  let last = 0;
  const sign = offsetMinutes < 0 ? "-" : "+";
  const two = (value: number) => String(Math.trunc(Math.abs(value))).padStart(2, "0");
  const offset = `${sign}${two(offsetMinutes / 60)}:${two(offsetMinutes % 60)}`;
  return () => {
    last = Math.max(last + 1, Math.floor(now() * 1000));
    const local = new Date(Math.floor(last / 1000) + offsetMinutes * 60_000).toISOString();
    return `${local.slice(0, -1)}${String(last % 1000).padStart(3, "0")}${offset}`;
  };
}
