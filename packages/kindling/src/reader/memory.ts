import type { FlagsRecord } from "../record.ts";

/** What the memory needs of an entry. All else is the reader's. */
export interface Entry {
  /** Ticket of the record. */
  readonly ticket: number;
  /** When it was read, by `performance.now()`. */
  readonly readAt: number;
  /** Whether it was used since it was last considered for eviction. */
  used: boolean;
}

/** Records in memory, by user id. Never takes an older ticket for a newer one. */
export interface Memory<E extends Entry> {
  /** @param time That of `performance.now()` */
  get(userId: string, time: number): E | undefined;
  /**
   * Announces a lookup in Redis. Call the result with the outcome: a record, `null` if there is none, or `undefined` if
   * Redis did not answer. A record is kept only if nothing later was heard of meanwhile.
   */
  begin(userId: string): (found: FlagsRecord | null | undefined) => void;
  /** Drops what is older than a committed ticket, and what lookups that are under way find to be older. */
  observe(userId: string, ticket: number): void;
  clear(): void;
}

/** Options for {@link createMemory}. */
export interface MemoryOptions<E extends Entry> {
  /** Creates the entry of a record that was read at this time of `performance.now()`. */
  createEntry: (record: FlagsRecord, readAt: number) => E;
  maxEntries: number;
  /** Longest time an entry is kept, in milliseconds. */
  ttlMs: number;
  /** Number of the current subscription to commits: a lookup that began under another one is not kept. */
  subscription: () => number | undefined;
}

/** Tickets from here on are not told apart by doubles, once one is added to them. */
const firstUnsafeTicket = 2 ** 52;

interface Lookup {
  subscription: number | undefined;
  /** The latest ticket heard of while the lookup was under way. */
  heard: number;
}

/** Creates an empty memory. Its size is bounded by `maxEntries` and the number of lookups under way. */
export function createMemory<E extends Entry>({
  createEntry,
  maxEntries,
  ttlMs,
  subscription,
}: MemoryOptions<E>): Memory<E> {
  const entries = new Map<string, E>();
  const lookups = new Map<string, Set<Lookup>>();

  const observe = (userId: string, ticket: number) => {
    const entry = entries.get(userId);
    if (entry !== undefined && entry.ticket < ticket) entries.delete(userId);
    for (const lookup of lookups.get(userId) ?? []) lookup.heard = Math.max(lookup.heard, ticket);
  };
  const end = (userId: string, lookup: Lookup) => {
    const others = lookups.get(userId);
    others?.delete(lookup);
    if (others?.size === 0) lookups.delete(userId);
  };
  // Second chance: close to least recently used, without moving an entry at each read.
  const evict = () => {
    for (const [userId, entry] of entries) {
      entries.delete(userId);
      if (!entry.used) return;
      entry.used = false;
      entries.set(userId, entry);
    }
  };

  return {
    get(userId, time) {
      const entry = entries.get(userId);
      if (entry === undefined) return undefined;
      if (time - entry.readAt > ttlMs) {
        entries.delete(userId);
        return undefined;
      }
      if (!entry.used) entry.used = true;
      return entry;
    },
    begin(userId) {
      const lookup: Lookup = { subscription: subscription(), heard: 0 };
      const others = lookups.get(userId) ?? new Set();
      lookups.set(userId, others.add(lookup));
      return (record) => {
        end(userId, lookup);
        if (record === null) entries.delete(userId);
        if (record === null || record === undefined) return;
        // No commit would ever drop it: workers take such a ticket for a corrupt one, and theirs are lower.
        if (!(record.ticket < firstUnsafeTicket)) return void entries.delete(userId);
        // Another lookup that is still under way can carry an older answer.
        observe(userId, record.ticket);
        if (lookup.subscription === undefined || lookup.subscription !== subscription()) return;
        const known = entries.get(userId);
        if (record.ticket < lookup.heard || (known !== undefined && known.ticket > record.ticket)) return;
        if (known === undefined && entries.size >= maxEntries) evict();
        entries.set(userId, createEntry(record, performance.now()));
      };
    },
    observe,
    clear: () => entries.clear(),
  };
}
