import { createHash } from "node:crypto";
import type { Grant } from "kindling/contract";
import { z } from "zod";
import type { ListedRole } from "../kinde/list-grants.ts";
import { type RedisClient, readRunId } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";

/** The roles and permissions that exist. The index names them by their position. */
export interface GrantCatalogue {
  roles: readonly ListedRole[];
  permissions: readonly Grant[];
}

/** What a user holds in one organization, as positions in the catalogue. */
export interface HeldIn {
  code: string;
  roles: readonly number[];
  permissions: readonly number[];
}

/** What a user holds; `unknown` if an entry of a listing was malformed. */
export type Held = readonly HeldIn[] | "unknown";

/** Identifies the index of one walk. */
export interface IndexMark {
  number: number;
  /** Hashes that the users are spread over. */
  buckets: number;
}

/** An addition to the index. */
export interface HeldGrant {
  userId: string;
  /** `undefined` makes the user `unknown`. */
  code: string | undefined;
  part: "roles" | "permissions";
  grant: number;
}

/**
 * Who holds which roles and permissions, gathered from Kinde's listings: they list holders by grant, and a record needs
 * grants by holder. Takes about 70 bytes for each user who holds something, until the walk ends.
 */
export interface GrantIndex {
  /** Starts an index. What an earlier one of this kind left behind is deleted. */
  begin(kind: string, mark: IndexMark, catalogue: GrantCatalogue): Promise<void>;
  /** Adds grants. One process adds at a time; adding again changes nothing. */
  add(mark: IndexMark, grants: readonly HeldGrant[]): Promise<void>;
  /**
   * Returns what the users hold, in the order of their ids, and the catalogue; `undefined` if Redis can have lost a part
   * of the index.
   */
  read(mark: IndexMark, userIds: readonly string[]): Promise<{ catalogue: GrantCatalogue; held: Held[] } | undefined>;
  /** Returns the catalogue; `undefined` as {@link GrantIndex.read}. */
  catalogue(mark: IndexMark): Promise<GrantCatalogue | undefined>;
  forget(kind: string, mark: IndexMark): Promise<void>;
}

/**
 * Lifetime from its beginning: longer than any walk should take, because nothing else ends an abandoned index of a kind that is
 * not needed any more. It is not renewed, so that the description, without which the index counts as lost, goes first.
 */
const ttlMs = 30 * 86_400_000;
const bucketTtlMs = ttlMs + 86_400_000;
/** Few enough entries for Redis' compact encoding of hashes. */
const usersPerBucket = 200;
const mostBuckets = 16_384;

/** Returns the mark of an index for about so many users. */
export function markIndex(number: number, users: number): IndexMark {
  return { number, buckets: Math.min(mostBuckets, Math.max(1, Math.ceil(users / usersPerBucket))) };
}

interface Description extends GrantCatalogue {
  runId: string;
}

const grantSchema = z.object({ id: z.string(), key: z.string() });
const storedDescription = storedShape<Description>(
  1,
  z.object({
    runId: z.string(),
    roles: z.array(grantSchema.extend({ permissions: z.array(grantSchema) })),
    permissions: z.array(grantSchema),
  }),
);
const markSchema = z.object({ number: z.number(), buckets: z.int().min(1).max(mostBuckets) });
const storedMark = storedShape<IndexMark>(1, markSchema);

/** Creates the index over one connection. */
export function createGrantIndex({ redis, keys }: { redis: RedisClient; keys: Pick<Keys, "ledgerPart"> }): GrantIndex {
  const begunKey = keys.ledgerPart("sweep:grants:begun");
  const descriptionKey = ({ number }: IndexMark) => keys.ledgerPart(`sweep:grants:${number}`);
  const bucketKey = ({ number, buckets }: IndexMark, userId: string) =>
    keys.ledgerPart(`sweep:grants:${number}:${bucketOf(userId, buckets)}`);
  // One pipeline, and the description after the entries: if it is still there, nothing was lost before they were read.
  const readFields = async (mark: IndexMark, userIds: readonly string[]) => {
    const pipeline = redis.pipeline();
    for (const userId of userIds) pipeline.hget(bucketKey(mark, userId), userId);
    pipeline.get(descriptionKey(mark));
    const answers = (await pipeline.exec()) ?? [];
    const texts = answers.map(([error, text]) => {
      if (error !== null) throw error;
      return text as string | null;
    });
    const description = storedDescription.parse(texts.at(-1));
    const intact = description !== undefined && description.runId === (await readRunId(redis));
    return intact ? { description, texts: texts.slice(0, -1) } : undefined;
  };
  const erase = async (mark: IndexMark) => {
    await redis.del(descriptionKey(mark));
    for (let from = 0; from < mark.buckets; from += 1_000) {
      const count = Math.min(1_000, mark.buckets - from);
      await redis.unlink(
        Array.from({ length: count }, (_, index) => keys.ledgerPart(`sweep:grants:${mark.number}:${from + index}`)),
      );
    }
  };

  return {
    async begin(kind, mark, catalogue) {
      const earlier = storedMark.parse(await redis.hget(begunKey, kind));
      // The same one, too: what was gathered before some of it was lost has other positions, and grants since revoked.
      if (earlier !== undefined) await erase(earlier);
      await redis.hset(begunKey, kind, storedMark.serialize(mark));
      const text = storedDescription.serialize({ ...catalogue, runId: await readRunId(redis) });
      await redis.set(descriptionKey(mark), text, "PX", ttlMs);
    },
    async add(mark, grants) {
      const userIds = [...new Set(grants.map(({ userId }) => userId))];
      if (userIds.length === 0) return;
      const found = await readFields(mark, userIds);
      // Lost: the next read says so.
      if (found === undefined) return;
      const held = new Map(userIds.map((userId, index) => [userId, parseHeld(found.texts[index] ?? null)]));
      for (const each of grants) held.set(each.userId, withGrant(held.get(each.userId) ?? [], each));
      const pipeline = redis.pipeline();
      for (const [userId, value] of held) {
        const key = bucketKey(mark, userId);
        pipeline.hset(key, userId, serializeHeld(value)).pexpire(key, bucketTtlMs);
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
    },
    async read(mark, userIds) {
      const found = await readFields(mark, userIds);
      return found && { catalogue: found.description, held: found.texts.map(parseHeld) };
    },
    catalogue: async (mark) => (await readFields(mark, []))?.description,
    async forget(kind, mark) {
      await redis.hdel(begunKey, kind);
      await erase(mark);
    },
  };
}

/** Returns whether the user can hold one of these roles and permissions: `role:<id>`, `permission:<id>`. */
export function holdsAny(held: Held, catalogue: GrantCatalogue, subjects: ReadonlySet<string>): boolean {
  if (held === "unknown") return true;
  const isOne = ({ id }: Grant) => subjects.has(`permission:${id}`);
  const roles = held.flatMap((each) => each.roles.flatMap((position) => catalogue.roles[position] ?? []));
  const direct = held.flatMap((each) => each.permissions.flatMap((position) => catalogue.permissions[position] ?? []));
  return (
    direct.some(isOne) || roles.some(({ id, permissions }) => subjects.has(`role:${id}`) || permissions.some(isOne))
  );
}

function bucketOf(userId: string, buckets: number): number {
  return buckets === 1 ? 0 : createHash("sha1").update(userId).digest().readUInt32BE() % buckets;
}

function withGrant(held: Held, { code, part, grant }: HeldGrant): Held {
  if (held === "unknown" || code === undefined) return "unknown";
  const entry = held.find((each) => each.code === code) ?? { code, roles: [], permissions: [] };
  if (entry[part].includes(grant)) return held;
  const added = { ...entry, [part]: [...entry[part], grant] };
  return [...held.filter((each) => each.code !== code), added];
}

// Short, as there is one for each user: `org_a:0,2:1;org_b::4`.
function serializeHeld(held: Held): string {
  if (held === "unknown") return "?";
  return held.map(({ code, roles, permissions }) => `${code}:${roles.join()}:${permissions.join()}`).join(";");
}

function parseHeld(text: string | null): Held {
  if (text === null || text === "") return [];
  if (text === "?") return "unknown";
  return text.split(";").map((entry) => {
    const [code = "", roles = "", permissions = ""] = entry.split(":");
    return { code, roles: positions(roles), permissions: positions(permissions) };
  });
}

function positions(list: string): number[] {
  return list === "" ? [] : list.split(",").map(Number);
}
