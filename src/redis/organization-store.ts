import { z } from "zod";
import type { RedisClient } from "./client.ts";
import type { Keys } from "./keys.ts";
import { booleanAnswer, defineScript } from "./script.ts";
import { storedShape } from "./stored.ts";

/** What is known about an organization. */
export interface OrganizationEntry {
  /** Drawn before the fetch: the later ticket wins. */
  ticket: number;
  /** Start of the fetch, in milliseconds since the epoch; 0 if it was forgotten. */
  fetchedAt: number;
  /**
   * Set while a copy of Kinde's that lags can have answered: from when on none does, in milliseconds since the epoch. Later
   * refreshes need a later fetch.
   */
  settledAt?: number;
  /** Set with `settledAt` if the change can be about something else: what is known is compared with later fetches. */
  doubted?: boolean;
  properties?: Readonly<Record<string, string | null>>;
  agreements?: readonly { id: string; planCode: string }[];
}

/** Keeps the details of organizations, shared by all processes. */
export interface OrganizationStore {
  /** Reads entries in the order of the codes; `undefined` for one that is missing or unreadable. */
  readMany(codes: readonly string[]): Promise<(OrganizationEntry | undefined)[]>;
  /** Stores an entry, unless the stored one has a later ticket. An entry that is too large is not stored. */
  write(code: string, entry: OrganizationEntry): Promise<void>;
}

const storedEntry = storedShape<OrganizationEntry>(
  1,
  z.object({
    ticket: z.number(),
    fetchedAt: z.number(),
    settledAt: z.number().exactOptional(),
    doubted: z.boolean().exactOptional(),
    properties: z.record(z.string(), z.string().nullable()).exactOptional(),
    agreements: z.array(z.object({ id: z.string(), planCode: z.string() })).exactOptional(),
  }),
);

const store = defineScript("store-organization", {
  call: (input: { key: string; ticket: number; text: string; ttlMs: number }) => ({
    keys: [input.key],
    args: [input.ticket, input.text, input.ttlMs],
  }),
  answer: booleanAnswer,
});

/** Longest stored entry, in characters. Larger ones are fetched for each user. */
const maxLength = 262_144;

/** Creates the store. `ttlMs` is the lifetime of an organization that no one asks for, in milliseconds. */
export function createOrganizationStore({
  redis,
  keys,
  ttlMs,
}: {
  redis: RedisClient;
  keys: Keys;
  ttlMs: number;
}): OrganizationStore {
  return {
    async readMany(codes) {
      if (codes.length === 0) return [];
      const texts = await redis.mget(codes.map(keys.organization));
      return texts.map((text) => (text === null ? undefined : storedEntry.parse(text)));
    },
    async write(code, entry) {
      const text = storedEntry.serialize(entry);
      if (text.length > maxLength) return;
      await store(redis, { key: keys.organization(code), ticket: entry.ticket, text, ttlMs });
    },
  };
}
