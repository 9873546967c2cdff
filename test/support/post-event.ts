import { randomBytes } from "node:crypto";
import type { Emulator } from "kinde-emulator";

/** The result of one manual delivery. */
export interface Posted {
  /** `0` if there was no answer. */
  status: number;
  ms: number;
}

/** Delivers one `user.updated`, as {@link postEvent}. */
export function postUpdate(emulator: Emulator, url: string, userId: string): Promise<Posted> {
  return postEvent(emulator, url, { type: "user.updated", data: { user: { id: userId } } });
}

/** Delivers one event, signed with the emulator's key, without retries. */
export async function postEvent(
  emulator: Emulator,
  url: string,
  event: { type: string; data: Record<string, unknown> },
): Promise<Posted> {
  const body = await emulator.deliveries.sign({
    ...event,
    event_id: `event_${randomBytes(16).toString("hex")}`,
    timestamp: new Date().toISOString(),
    source: "admin",
  });
  const started = performance.now();
  const status = await fetch(url, { method: "POST", body, headers: { "content-type": "application/jwt" } }).then(
    (response) => response.status,
    () => 0,
  );
  return { status, ms: performance.now() - started };
}
