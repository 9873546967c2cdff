import { randomBytes } from "node:crypto";
import type { Emulator } from "kinde-emulator";

/** How a delivery by hand went: nobody repeats it. `0`: no answer at all. */
export interface Posted {
  status: number;
  ms: number;
}

/** Delivers one `user.updated`, signed by the emulator's key, exactly once. */
export async function postUpdate(emulator: Emulator, url: string, userId: string): Promise<Posted> {
  const body = await emulator.deliveries.sign({
    type: "user.updated",
    event_id: `event_${randomBytes(16).toString("hex")}`,
    timestamp: new Date().toISOString(),
    source: "admin",
    data: { user: { id: userId } },
  });
  const started = performance.now();
  const status = await fetch(url, { method: "POST", body, headers: { "content-type": "application/jwt" } }).then(
    (response) => response.status,
    () => 0,
  );
  return { status, ms: performance.now() - started };
}
