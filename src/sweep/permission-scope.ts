import type { Definitions } from "kindling";
import { z } from "zod";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";

/**
 * The permissions that flags read. Those of built-in definitions are declared. What a function reads shows only when it is
 * called: walks call it with every record, and note whether it read any permissions.
 */
export interface PermissionScope {
  /** Returns the keys of the permissions that flags read; `undefined` if that can be any. */
  keys(): Promise<readonly string[] | undefined>;
  /** Returns whether no walk has called the functions yet. */
  isUnknown(): Promise<boolean>;
  /** Notes whether functions read permissions. */
  note(reads: boolean): Promise<void>;
}

interface Learned {
  /** Fingerprint of the definitions. */
  schema: string;
  reads: boolean;
}

const stored = storedShape<Learned>(1, z.object({ schema: z.string(), reads: z.boolean() }));

/** Opens the scope. */
export function createPermissionScope({
  redis,
  keys,
  definitions,
}: {
  redis: RedisClient;
  keys: Pick<Keys, "ledgerPart">;
  definitions: Pick<Definitions, "flags" | "schema">;
}): PermissionScope {
  const key = keys.ledgerPart("sweep:permission-readers");
  const { schema } = definitions;
  const flags = Object.values(definitions.flags);
  const declared = flags.flatMap(({ needs, permissions }) => (needs.includes("permissions") ? [permissions] : []));
  const named = declared.flatMap((each) => each ?? []);
  const anyKey = declared.includes(undefined);
  const functions = flags.some(({ opaque }) => opaque);
  const read = async () => {
    const learned = functions ? stored.parse(await redis.get(key)) : { schema, reads: false };
    return learned?.schema === schema ? learned : undefined;
  };
  return {
    async keys() {
      return anyKey || (await read())?.reads !== false ? undefined : [...new Set(named)];
    },
    isUnknown: async () => !anyKey && (await read()) === undefined,
    async note(reads) {
      if (functions) await redis.set(key, stored.serialize({ schema, reads }));
    },
  };
}
