/** The public keys and channels in Redis, which app servers in any language rely on. */
export interface PublicKeys {
  /** The flags record of a user. */
  flags(userId: string): string;
  /** Holds `{"since":<ms since the epoch>}` once every user is held; a wiped store has lost it. */
  complete: string;
  /** The profile of a user: personal data, not for app servers. */
  profile(userId: string): string;
  /** Sorted sets of users to refresh, scored by the oldest fetch the reader accepts; in `now` a reader waits. */
  refreshRequests: Readonly<Record<"now" | "later", string>>;
  /** The channel on which each commit of a user's record is published; the message is the ticket. */
  commits(userId: string): string;
}

/** Names the public keys under one prefix. Both keys of a user share a cluster slot by the id's hash tag. */
export function createPublicKeys(prefix: string): PublicKeys {
  return {
    flags: (userId) => `${prefix}:flags:{${userId}}`,
    // Under the flags' prefix, so that readers may read it. It cannot clash with a user's key: ids are in braces.
    complete: `${prefix}:flags:complete`,
    profile: (userId) => `${prefix}:profile:{${userId}}`,
    refreshRequests: { now: `{${prefix}:refresh-requests}:now`, later: `{${prefix}:refresh-requests}:later` },
    commits: (userId) => `${prefix}:commits:{${userId}}`,
  };
}
