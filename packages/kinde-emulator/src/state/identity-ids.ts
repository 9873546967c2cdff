import { createHash } from "node:crypto";
import { BoundedMap } from "./bounded-map.ts";
import type { IdentityState } from "./user-state.ts";

const KEPT = 100_000;

/** Names one identity of one user. */
export interface IdentityRef {
  readonly userId: string;
  readonly type: IdentityState["type"];
  readonly identity: string;
}

/** Ids of identities. They are derived, so seeded users need none; the last 100,000 that were shown can be looked up. */
export interface IdentityIds {
  idOf(ref: IdentityRef): string;
  find(id: string): IdentityRef | undefined;
}

export function createIdentityIds(): IdentityIds {
  const shown = new BoundedMap<string, IdentityRef>(KEPT);
  return {
    idOf: ({ userId, type, identity }) => {
      const hash = createHash("sha256").update(JSON.stringify([userId, type, identity]));
      const id = `identity_${hash.digest("hex").slice(0, 32)}`;
      shown.set(id, { userId, type, identity });
      return id;
    },
    find: (id) => shown.get(id),
  };
}
