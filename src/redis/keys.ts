import { createPublicKeys, type PublicKeys } from "kindling/contract";

/**
 * Names of all Redis keys. The ledger's keys share one cluster slot: the tag `{<prefix>:ledger}` hashes like the plain
 * key `<prefix>:ledger`.
 */
export interface Keys extends PublicKeys {
  prefix: string;
  /** Returns the user id in the key of a flags record; `undefined` for any other key. */
  flagsOwner(key: string): string | undefined;
  /** Returns the user id in the key of a profile. */
  userOf(profileKey: string): string;
  /** Pattern that matches all profile keys. */
  profiles: string;
  /** Returns the key of the changes of a user's flags that are not in the stream of changes yet. */
  outbox(userId: string): string;
  /** Returns a key in the slot of a user's record. A write to it shows whether replicas have the record. */
  replicated(userId: string): string;
  ledger: string;
  /** The ticket counter, and the run id of the Redis process that drew the last ticket. */
  ticket: TicketKeys;
  /** Returns a key in the cluster slot of the ledger. */
  ledgerPart(name: string): string;
  /** Prefix of BullMQ's keys. */
  queues: string;
  /** Prefix of the access token's keys: the store appends a hash of the application the token was issued for. */
  accessToken: string;
  callBudget: string;
  /** Returns the key of what is known about an organization: beside the ledger, which hears of a change first. */
  organization(code: string): string;
  /** Returns the key that notes that a sweep counts records, in the slot of {@link PublicKeys.complete}. */
  counting(sweep: number): string;
  /** The Kinde tenant that the store belongs to. */
  tenant: string;
  /** Prefix of the request counters of Kindling's own API. */
  apiCalls: string;
  /** Hash: requests refused over HTTP, by `<route>:<code>`. */
  refusedRequests: string;
  /** Hash: what the fleet has done, by kind and labels. */
  activity: string;
  /** Hash: refresh requests dropped, by reason. */
  droppedRefreshRequests: string;
  /** Returns the key of one of the streams of what happened to users. */
  trail(shard: number): string;
  /** Returns the key of a stream of figures. */
  history(name: string): string;
  /** Returns a key of the dashboard. */
  dashboard(name: string): string;
}

/** Keys that every script needs which draws a ticket. */
export interface TicketKeys {
  counter: string;
  run: string;
}

/** Creates the key names under a prefix such as `kindling`. */
export function createKeys(prefix: string): Keys {
  const publicKeys = createPublicKeys(prefix);
  const flagsPrefix = `${prefix}:flags:{`;
  const profilePrefix = `${prefix}:profile:{`;
  return {
    ...publicKeys,
    prefix,
    flagsOwner: (key) =>
      key.startsWith(flagsPrefix) && key.endsWith("}") ? key.slice(flagsPrefix.length, -1) : undefined,
    userOf: (profileKey) => profileKey.slice(profilePrefix.length, -1),
    profiles: `${profilePrefix}*}`,
    outbox: (userId) => `${prefix}:outbox:{${userId}}`,
    replicated: (userId) => `${prefix}:replicated:{${userId}}`,
    ledger: `${prefix}:ledger`,
    ticket: { counter: `{${prefix}:ledger}:ticket`, run: `{${prefix}:ledger}:ticket:run` },
    ledgerPart: (name) => `{${prefix}:ledger}:${name}`,
    queues: `{${prefix}}`,
    accessToken: `{${prefix}:kinde}:access-token`,
    callBudget: `{${prefix}:kinde}:calls`,
    organization: (code) => `{${prefix}:ledger}:organization:${code}`,
    counting: (sweep) => `${prefix}:counting:{${publicKeys.complete}}:${sweep}`,
    tenant: `${prefix}:tenant`,
    apiCalls: `{${prefix}:api}`,
    refusedRequests: `{${prefix}:api}:refused`,
    activity: `${prefix}:activity`,
    droppedRefreshRequests: `{${prefix}:refresh-requests}:dropped`,
    trail: (shard) => `{${prefix}:trail}:${shard}`,
    history: (name) => `{${prefix}:history}:${name}`,
    dashboard: (name) => `{${prefix}:dashboard}:${name}`,
  };
}
