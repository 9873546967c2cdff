import { KindlingError } from "kindling";
import { isUserId, parseFlagsRecord } from "kindling/contract";
import { z } from "zod";
import { parseJson } from "../kinde/request.ts";
import { scanKeys } from "../redis/client.ts";
import { parseProfile } from "../redis/records.ts";
import type { Store } from "../store.ts";
import { plural } from "../words.ts";

// One JSON document a line: a header, one record each, and an end that tells a whole file from one that was cut off.
const version = 1;
const header = z.object({ v: z.literal(version), kindling: z.literal("records"), tenant: z.string().nullable() });
const end = z.object({ end: z.literal(true), records: z.int().nonnegative() });
const line = z.object({ userId: z.string().refine(isUserId), flags: z.unknown(), profile: z.unknown() });
const tenant = z.looseObject({ domain: z.string() });

type ExportStore = Pick<Store, "publicRedis" | "keys" | "records">;

/** Counts of an export. `skipped`: records that could not be read. */
export interface Exported {
  exported: number;
  skipped: number;
}

/**
 * Writes every record of a store, one JSON document a line. Users can appear twice, which an import does not mind.
 *
 * @param write Receives lines with their line break, and resolves when it can take more
 */
export async function exportRecords(
  { publicRedis, keys, records }: ExportStore,
  write: (text: string) => Promise<void>,
  signal: AbortSignal,
): Promise<Exported> {
  const bound = tenant.safeParse(parseJson((await publicRedis.get(keys.tenant)) ?? "")).data?.domain ?? null;
  await write(`${JSON.stringify({ v: version, kindling: "records", tenant: bound })}\n`);
  const counts = { exported: 0, skipped: 0 };
  let cursor = "0";
  do {
    signal.throwIfAborted();
    const [next, names] = await scanKeys(publicRedis, cursor, { count: 1_000 });
    cursor = next;
    const userIds = names.flatMap((name) => keys.flagsOwner(name) ?? []);
    const found = await records.readMany(userIds);
    const lines = found.flatMap(({ flags, profile }, index) => {
      const readable = flags !== undefined && (flags.status === "deleted" || profile !== undefined);
      return readable ? [`${JSON.stringify({ userId: userIds[index], flags, profile: profile ?? null })}\n`] : [];
    });
    counts.exported += lines.length;
    counts.skipped += userIds.length - lines.length;
    if (lines.length > 0) await write(lines.join(""));
  } while (cursor !== "0");
  await write(`${JSON.stringify({ end: true, records: counts.exported })}\n`);
  return counts;
}

/** Counts of an import. `kept`: users who have a record in this store already. */
export interface Imported {
  imported: number;
  kept: number;
}

const batchSize = 500;

/**
 * Writes exported records into a store, for users who have no record there.
 *
 * @throws {KindlingError} `import_malformed` with the number of the line, `import_incomplete` if the end of the export is
 *   missing, `tenant_mismatch` if the records are those of another tenant. Records of earlier lines have been written
 */
export async function importRecords(
  { publicRedis, keys, records }: ExportStore,
  lines: AsyncIterable<string>,
  signal: AbortSignal,
): Promise<Imported> {
  const counts = { imported: 0, kept: 0 };
  let batch: Parameters<Store["records"]["restore"]>[0][number][] = [];
  const flush = async () => {
    signal.throwIfAborted();
    const written = await records.restore(batch);
    counts.imported += written;
    counts.kept += batch.length - written;
    batch = [];
  };
  let number = 0;
  let ended: number | undefined;
  for await (const text of lines) {
    number += 1;
    if (number === 1) await checkHeader({ publicRedis, keys }, text);
    else if (text !== "") {
      if (ended !== undefined) throw malformed(number, "it follows the end of the export");
      ended = end.safeParse(parseJson(text)).data?.records;
      if (ended === undefined) batch.push(parseLine(text, number));
    }
    if (batch.length === batchSize) await flush();
  }
  if (number === 0) throw malformed(1, "the file is empty");
  await flush();
  if (ended !== counts.imported + counts.kept) throw cutOff(counts);
  return counts;
}

/** Characters of the longest line that an import reads: answers of Kinde's, and so records, are smaller. */
const longestLine = 16 * 1024 * 1024;

/**
 * Splits the text of an export into lines.
 *
 * @throws {KindlingError} `import_malformed` for a line of more than {@link longestLine}
 */
export async function* readLines(input: NodeJS.ReadableStream): AsyncGenerator<string> {
  input.setEncoding("utf8");
  let line = "";
  let number = 1;
  for await (const chunk of input) {
    for (const [index, part] of String(chunk).split("\n").entries()) {
      if (index > 0) {
        yield line.trimEnd();
        line = "";
        number += 1;
      }
      line += part;
      if (line.length > longestLine) throw malformed(number, "it has more than 16 MiB");
    }
  }
  if (line !== "") yield line.trimEnd();
}

async function checkHeader(
  { publicRedis, keys }: Pick<ExportStore, "publicRedis" | "keys">,
  text: string,
): Promise<void> {
  const exported = header.safeParse(parseJson(text));
  if (!exported.success) throw malformed(1, "it is not the first line of a kindling export");
  const bound = tenant.safeParse(parseJson((await publicRedis.get(keys.tenant)) ?? "")).data?.domain;
  if (exported.data.tenant === null || bound === undefined || exported.data.tenant === bound) return;
  throw new KindlingError(
    "tenant_mismatch",
    `The records belong to ${exported.data.tenant}, but the prefix ${keys.prefix} belongs to ${bound}: import them under ` +
      "another KINDLING_PREFIX.",
  );
}

function parseLine(text: string, number: number) {
  const parsed = line.safeParse(parseJson(text));
  const flags = parsed.success ? parseFlagsRecord(JSON.stringify(parsed.data.flags)) : undefined;
  if (!parsed.success || flags === undefined) throw malformed(number, "it is not a record");
  const { userId, profile } = parsed.data;
  const known = profile === null ? undefined : parseProfile(JSON.stringify(profile));
  if (flags.status === "present" && known?.id !== userId) throw malformed(number, "its profile is not the user's");
  return { userId, flags, profile: flags.status === "deleted" ? undefined : known };
}

function cutOff({ imported, kept }: Imported): KindlingError<string> {
  return new KindlingError(
    "import_incomplete",
    `The export was cut off after ${plural(imported + kept, "record")}, which are imported: export again, then import the rest.`,
  );
}

function malformed(number: number, why: string): KindlingError<string> {
  return new KindlingError("import_malformed", `Line ${number} cannot be imported: ${why}.`);
}
