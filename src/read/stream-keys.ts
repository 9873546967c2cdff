import { createHmac, timingSafeEqual } from "node:crypto";
import { isUserId } from "kindling/contract";

/** Keys that open the stream of one user. A browser's `EventSource` sends no header, so its URL must carry one. */
export interface StreamKeys {
  /** Returns the path of the user's stream with a key in its query. It stays the same for an hour. */
  pathOf(userId: string): string;
  /** Returns whom a key belongs to and until when, in milliseconds since the epoch; `undefined` if it is not valid. */
  open(key: string): { userId: string; expiresAt: number } | undefined;
}

/** Options for {@link createStreamKeys}. */
export interface StreamKeysOptions {
  secret: Uint8Array;
  /** Milliseconds since the epoch. */
  now: () => number;
}

const hour = 3_600_000;

/**
 * Creates signed keys, `<user id>.<hour of expiry>.<signature>`. They are valid for one to two hours and open nothing but
 * a stream, so that one in an access log does little harm. OFREP clients reconnect whenever the URL changes: hence whole
 * hours.
 */
export function createStreamKeys({ secret, now }: StreamKeysOptions): StreamKeys {
  const sign = (text: string) => createHmac("sha256", secret).update(text).digest();
  return {
    pathOf(userId) {
      const text = `${userId}.${Math.floor(now() / hour) + 2}`;
      return `/v1/flags/stream?key=${encodeURIComponent(`${text}.${sign(text).toString("base64url")}`)}`;
    },
    open(key) {
      const [userId = "", hours = "", signature = "", ...rest] = key.split(".");
      const given = Buffer.from(signature, "base64url");
      const expected = sign(`${userId}.${hours}`);
      if (rest.length > 0 || given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
      const expiresAt = Number(hours) * hour;
      return isUserId(userId) && expiresAt > now() ? { userId, expiresAt } : undefined;
    },
  };
}
