/**
 * Names of all keys, in one place. The two keys of a user share a cluster slot by the id's hash tag; the ledger's keys
 * share one by the tag `{<prefix>:ledger}`, which hashes like the plain key `<prefix>:ledger`.
 */
export interface Keys {
  prefix: string;
  /** Public: the flags record of a user. */
  flags(userId: string): string;
  /** Public: stands there, as `{"since":<ms since the epoch>}`, once everybody Kinde has is held; goes with a wiped store. */
  complete: string;
  /** Public: the profile of a user. */
  profile(userId: string): string;
  /** Whose flags record a key is; `undefined` for any other key. */
  flagsOwner(key: string): string | undefined;
  /** The user id in a profile key. */
  userOf(profileKey: string): string;
  /** Glob of all profile keys. */
  profiles: string;
  ledger: string;
  /** Within the ledger's slot. */
  ledgerPart(name: string): string;
  /** Prefix of BullMQ's keys. */
  queues: string;
  /** Beginning of the token's keys: the store adds whose token it is. */
  accessToken: string;
  callBudget: string;
  /** Public: users a reader wants refreshed, by the oldest fetch it would take; `now`: somebody waits for it. */
  wishes: Readonly<Record<"now" | "later", string>>;
  /** Public: channel on which each commit of a user's record is told. */
  commits(userId: string): string;
  /** Counts the requests to our own API. */
  apiCalls: string;
}

/** Keys under one prefix, e.g. `kindling`. */
export function createKeys(prefix: string): Keys {
  const flagsOpen = `${prefix}:flags:{`;
  const profileOpen = `${prefix}:profile:{`;
  return {
    prefix,
    flags: (userId) => `${flagsOpen}${userId}}`,
    flagsOwner: (key) => (key.startsWith(flagsOpen) && key.endsWith("}") ? key.slice(flagsOpen.length, -1) : undefined),
    // Under the flags' prefix, so that readers may read it; no user's key is like it, as ids stand in braces.
    complete: `${prefix}:flags:complete`,
    profile: (userId) => `${profileOpen}${userId}}`,
    userOf: (profileKey) => profileKey.slice(profileOpen.length, -1),
    profiles: `${profileOpen}*}`,
    ledger: `${prefix}:ledger`,
    ledgerPart: (name) => `{${prefix}:ledger}:${name}`,
    queues: `{${prefix}}`,
    accessToken: `{${prefix}:kinde}:access-token`,
    callBudget: `{${prefix}:kinde}:calls`,
    wishes: { now: `{${prefix}:wishes}:now`, later: `{${prefix}:wishes}:later` },
    commits: (userId) => `${prefix}:commits:{${userId}}`,
    apiCalls: `{${prefix}:api}`,
  };
}
