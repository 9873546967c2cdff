import { type RedisClient, readRunId } from "./client.ts";
import type { Keys } from "./keys.ts";

/** A moment, as {@link GrantChanges.mark} returns it. */
export interface ChangeMark {
  /** Entry of the stream. */
  id: string;
  /** The Redis process that has it. */
  runId: string;
}

/** The roles and permissions that changed lately. What was gathered from Kinde's listings before can show them as they were. */
export interface GrantChanges {
  /** Notes a change. Must be called before the records are searched for the users it concerns. */
  note(subject: string): Promise<void>;
  /** Marks the present. Must be called before anything is gathered. */
  mark(): Promise<ChangeMark>;
  /**
   * Returns the subjects that changed after the mark, or so shortly before it that Kinde can have answered with the former
   * state; `undefined` if some of them can be missing, because there were too many or another Redis process took over. Must
   * be called after the commit of what was gathered.
   */
  since(mark: ChangeMark): Promise<ReadonlySet<string> | undefined>;
}

/** Options for {@link createGrantChanges}. */
export interface GrantChangesOptions {
  redis: RedisClient;
  keys: Pick<Keys, "ledgerPart">;
  /** How long Kinde can answer with the state before a change, in milliseconds. */
  settleMs: number;
}

/** Entries that are kept: about 0.5 MB. */
const mostEntries = 10_000;

/** Creates the notes. They are a stream, because its ids stay in order although Redis' clock steps back. */
export function createGrantChanges({ redis, keys, settleMs }: GrantChangesOptions): GrantChanges {
  const key = keys.ledgerPart("changed:grants");
  const add = (field: string, value: string) => redis.xadd(key, "MAXLEN", mostEntries, "*", field, value);
  return {
    async note(subject) {
      await add("subject", subject);
    },
    async mark() {
      const runId = await readRunId(redis);
      return { id: String(await add("mark", "")), runId };
    },
    async since({ id, runId }) {
      const from = Math.max(0, Number.parseInt(id, 10) - settleMs);
      const entries = await redis.xrange(key, from, "+");
      const isIntact = entries.some(([entryId]) => entryId === id) && (await readRunId(redis)) === runId;
      return isIntact
        ? new Set(entries.flatMap(([, [field, value]]) => (field === "subject" && value) || []))
        : undefined;
    },
  };
}
