import { createHmac, timingSafeEqual } from "node:crypto";
import { isUserId } from "kindling/contract";

/** Whose flags a stream sends. */
export interface StreamSubject {
  userId: string;
  /** Code of the organization that flags of the current organization are read for. Default: none. */
  organization?: string | undefined;
}

/** Keys that open the stream of one user. A browser's `EventSource` sends no header, so its URL must carry one. */
export interface StreamKeys {
  /** Returns the path of a stream with a key in its query. It stays the same for an hour. */
  pathOf(subject: StreamSubject): string;
  /** Returns what a key opens and until when, in milliseconds since the epoch; `undefined` if it is not valid. */
  open(key: string): (StreamSubject & { expiresAt: number }) | undefined;
}

/** Options for {@link createStreamKeys}. */
export interface StreamKeysOptions {
  secret: Uint8Array;
  /** Milliseconds since the epoch. */
  now: () => number;
}

const hour = 3_600_000;

/**
 * Creates signed keys, `<user id>.<organization>.<hour of expiry>.<signature>`. They are valid for one to two hours and open nothing but
 * a stream, so that one in an access log does little harm. OFREP clients reconnect whenever the URL changes: hence whole
 * hours.
 */
export function createStreamKeys({ secret, now }: StreamKeysOptions): StreamKeys {
  const sign = (text: string) => createHmac("sha256", secret).update(text).digest();
  return {
    pathOf({ userId, organization = "" }) {
      const text = `${userId}.${organization}.${Math.floor(now() / hour) + 2}`;
      return `/v1/flags/stream?key=${encodeURIComponent(`${text}.${sign(text).toString("base64url")}`)}`;
    },
    open(key) {
      const [userId = "", organization = "", hours = "", signature = "", ...rest] = key.split(".");
      const given = Buffer.from(signature, "base64url");
      const expected = sign(`${userId}.${organization}.${hours}`);
      if (rest.length > 0 || given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
      const expiresAt = Number(hours) * hour;
      if (!isUserId(userId) || expiresAt <= now()) return undefined;
      return { userId, organization: organization === "" ? undefined : organization, expiresAt };
    },
  };
}
