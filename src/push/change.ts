import { type FlagsRecord, isUserId, parseFlagsRecord } from "kindling/contract";
import { z } from "zod";
import { storedShape } from "../redis/stored.ts";

/** A commit that changed a user's flags. */
export interface Change {
  /** Id of its entry in the stream of changes: the same in every delivery. */
  id: string;
  userId: string;
  record: FlagsRecord;
  /** The record before, or `null` for the first one. */
  previous: FlagsRecord | null;
}

/** A change as the data of a job. */
export interface StoredChange {
  id: string;
  userId: string;
  /** JSON of the records, as in Redis; `previous` is empty for the first record. */
  record: string;
  previous: string;
}

/** Parses and versions the data of a job. */
export const storedChange = storedShape<StoredChange>(
  1,
  z.object({ id: z.string(), userId: z.string(), record: z.string(), previous: z.string() }),
);

/** Reads the fields of a stream's entry; returns `undefined` if they are not a change. */
export function readEntry(id: string, fields: readonly string[]): StoredChange | undefined {
  const members = new Map<string, string>();
  for (let index = 0; index < fields.length; index += 2) members.set(fields[index] ?? "", fields[index + 1] ?? "");
  const stored = {
    id,
    userId: members.get("user") ?? "",
    record: members.get("record") ?? "",
    previous: members.get("previous") ?? "",
  };
  return parseChange(stored) === undefined ? undefined : stored;
}

/** Parses a change; returns `undefined` if it is not one. */
export function parseChange({ id, userId, record: text, previous }: StoredChange): Change | undefined {
  const record = parseFlagsRecord(text);
  if (record === undefined || !isUserId(userId)) return undefined;
  return { id, userId, record, previous: parseFlagsRecord(previous) ?? null };
}
