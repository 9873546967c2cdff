import { createPublicKeys, type PublicKeys } from "kindling/contract";

/**
 * Names of all keys. The ledger's keys share one cluster slot by the tag `{<prefix>:ledger}`, which hashes like the plain
 * key `<prefix>:ledger`.
 */
export interface Keys extends PublicKeys {
  prefix: string;
  /** The user whose flags record a key is; `undefined` for any other key. */
  flagsOwner(key: string): string | undefined;
  /** The user id in a profile key. */
  userOf(profileKey: string): string;
  /** Glob of all profile keys. */
  profiles: string;
  ledger: string;
  /** A key within the ledger's slot. */
  ledgerPart(name: string): string;
  /** Prefix of BullMQ's keys. */
  queues: string;
  /** Start of the access token's keys: the store appends the application it was issued to. */
  accessToken: string;
  callBudget: string;
  /** Counts the requests to our own API. */
  apiCalls: string;
}

/** Keys under one prefix, e.g. `kindling`. */
export function createKeys(prefix: string): Keys {
  const publicKeys = createPublicKeys(prefix);
  const flagsOpen = `${prefix}:flags:{`;
  const profileOpen = `${prefix}:profile:{`;
  return {
    ...publicKeys,
    prefix,
    flagsOwner: (key) => (key.startsWith(flagsOpen) && key.endsWith("}") ? key.slice(flagsOpen.length, -1) : undefined),
    userOf: (profileKey) => profileKey.slice(profileOpen.length, -1),
    profiles: `${profileOpen}*}`,
    ledger: `${prefix}:ledger`,
    ledgerPart: (name) => `{${prefix}:ledger}:${name}`,
    queues: `{${prefix}}`,
    accessToken: `{${prefix}:kinde}:access-token`,
    callBudget: `{${prefix}:kinde}:calls`,
    apiCalls: `{${prefix}:api}`,
  };
}
