import type { Definitions } from "../definitions/define-flags.ts";
import { createPublicKeys } from "../keys.ts";
import { isUserId } from "../profile.ts";
import { createReader } from "../reader/create-reader.ts";
import type { ReaderRedis } from "../reader/redis.ts";
import type { Reader } from "../reader/types.ts";
import type { FlagsRecord } from "../record.ts";
import { createRequestReader } from "../request/create-request-reader.ts";
import type { RequestReader, Verify } from "../request/types.ts";

/**
 * Options for {@link createTestReader}.
 *
 * @typeParam V Flag values by name
 */
export interface TestReaderOptions<V extends Record<string, unknown>> {
  /** The default export of the flags file. */
  definitions: Definitions<V>;
  /** Returns the time in milliseconds since the epoch. Default `Date.now`. */
  now?: () => number;
}

/**
 * A reader whose users a test sets. It is the real reader over a map, so it answers as in production. In its method `read`,
 * and so in the framework adapters, a user id is the token of that user.
 *
 * @typeParam V Flag values by name
 */
export interface TestReader<V extends Record<string, unknown>> extends Reader<V>, RequestReader<V> {
  /**
   * Sets flags of a user. The flags left out keep their values, at first the defaults. Those of the current organization
   * have the value in every organization, and in reads that name none.
   *
   * @param options `age`: age of the record at each read, in milliseconds. Default 0: always fresh
   */
  set(userId: string, flags: Partial<V>, options?: { age?: number }): void;
  /** Makes the user a deleted one. */
  delete(userId: string): void;
  /** Removes the user's record, as for one who has just signed up. */
  remove(userId: string): void;
  /** Makes Redis unavailable, or available again. */
  setAvailable(available: boolean): void;
}

/**
 * Creates a reader that needs no Redis. Use it wherever your app reads with what `createKindling` returned, the framework
 * adapters included.
 *
 * @param users Flags by user id. The flags left out have their defaults
 *
 * @example
 * ```ts
 * import { createTestReader } from "kindling/testing";
 * import definitions from "./kindling.flags.js";
 *
 * const reader = createTestReader({ kp_a: { onboarded: true } }, { definitions });
 * reader.set("kp_a", { tier: "pro" });
 * const { flags } = await reader.get("kp_a");
 * ```
 */
export function createTestReader<V extends Record<string, unknown>>(
  users: Readonly<Record<string, Partial<NoInfer<V>>>>,
  { definitions, now = Date.now }: TestReaderOptions<V>,
): TestReader<V> {
  const keys = createPublicKeys("kindling");
  const records = new Map<string, { flags: V; status: FlagsRecord["status"]; age: number }>();
  let available = true;

  const find = async (key: string): Promise<string | null> => {
    if (!available) throw new Error("The test made Redis unavailable.");
    if (key === keys.complete) return JSON.stringify({ since: 0 });
    const found = records.get(key);
    if (found === undefined) return null;
    const { age, flags, status } = found;
    const inCurrent = Object.entries(flags).filter(([name]) => definitions.flags[name]?.in === "current");
    const record: FlagsRecord = {
      flags,
      ...(inCurrent.length > 0 && { organizations: { "*": Object.fromEntries(inCurrent) } }),
      status,
      fetchedAt: now() - age,
      ticket: 1,
      schema: definitions.schema,
    };
    return JSON.stringify(record);
  };
  const redis: ReaderRedis = { get: find, mget: (wanted) => Promise.all(wanted.map(find)) };

  const real = createReader({ redis, definitions, now });
  const reader: TestReader<V> = {
    ...real,
    read: createRequestReader({ reader: real, verify: acceptUserIds }).read,
    set(userId, flags, { age = 0 } = {}) {
      const key = keys.flags(userId);
      const held = records.get(key);
      const before = held?.status === "present" ? held.flags : definitions.defaults;
      records.set(key, { flags: { ...before, ...flags }, status: "present", age });
    },
    delete(userId) {
      records.set(keys.flags(userId), { flags: definitions.defaults, status: "deleted", age: 0 });
    },
    remove(userId) {
      records.delete(keys.flags(userId));
    },
    setAvailable(value) {
      available = value;
    },
  };
  for (const [userId, flags] of Object.entries(users)) reader.set(userId, flags);
  return reader;
}

/**
 * Takes user ids for tokens, instead of verifying: **for tests only**. For a `createKindling` whose Redis or service is the
 * test's; {@link createTestReader} does it already.
 *
 * @example
 * ```ts
 * import { createKindling } from "kindling";
 * import { acceptUserIds } from "kindling/testing";
 *
 * const kindling = createKindling({ definitions, redis, verify: acceptUserIds });
 * const { flags } = await kindling.read({ token: "kp_a" });
 * ```
 */
export const acceptUserIds: Verify = async (token) =>
  isUserId(token)
    ? { userId: token, claims: { sub: token } }
    : { userId: null, reason: "token_invalid", detail: "the token is not a user id" };
