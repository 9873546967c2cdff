/**
 * What stands under `<prefix>:flags:{<user id>}`, as JSON. Public: app servers in any language may rely on it.
 * Fields are added, never renamed.
 */
export interface FlagsRecord {
  flags: Readonly<Record<string, unknown>>;
  /** `deleted`: a tombstone; its flags are the defaults. */
  status: "present" | "deleted";
  /** Start of the fetch this stems from, milliseconds since the epoch. */
  fetchedAt: number;
  /** Fence number of the refresh that wrote it. */
  ticket: number;
  /** Fingerprint of the flag definitions. */
  schema: string;
}

/** The record, or `undefined` for text that is none. */
export function parseFlagsRecord(text: string): FlagsRecord | undefined {
  let value: Partial<FlagsRecord> | null;
  try {
    value = JSON.parse(text) as Partial<FlagsRecord> | null;
  } catch {
    return undefined;
  }
  const fits =
    typeof value === "object" &&
    value !== null &&
    typeof value.flags === "object" &&
    value.flags !== null &&
    (value.status === "present" || value.status === "deleted") &&
    typeof value.fetchedAt === "number" &&
    typeof value.ticket === "number";
  return fits ? (value as FlagsRecord) : undefined;
}
