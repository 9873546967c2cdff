import { z } from "zod";
import type { ListedRole } from "../kinde/list-grants.ts";
import type { RedisClient } from "../redis/client.ts";
import type { Keys } from "../redis/keys.ts";
import { storedShape } from "../redis/stored.ts";

/** The roles that the last walk listed, with their permissions: a change concerns all holders of a role. */
export interface KnownRoles {
  /** Returns `undefined` before the first walk. */
  read(): Promise<readonly ListedRole[] | undefined>;
  write(roles: readonly ListedRole[]): Promise<void>;
}

const grant = z.object({ id: z.string(), key: z.string() });
const stored = storedShape<{ roles: readonly ListedRole[] }>(
  1,
  z.object({ roles: z.array(grant.extend({ permissions: z.array(grant) })) }),
);

/** Opens the roles. */
export function createKnownRoles({ redis, keys }: { redis: RedisClient; keys: Pick<Keys, "ledgerPart"> }): KnownRoles {
  const key = keys.ledgerPart("sweep:roles");
  return {
    read: async () => stored.parse(await redis.get(key))?.roles,
    async write(roles) {
      await redis.set(key, stored.serialize({ roles }));
    },
  };
}
