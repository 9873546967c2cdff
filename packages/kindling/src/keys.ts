/** The public keys and channels in Redis. App servers in any language can rely on them. */
export interface PublicKeys {
  /** String key: the flags record of a user, as JSON. */
  flags(userId: string): string;
  /** String key: `{"since":<ms since the epoch>}` once every user has a record. Absent in a new or wiped store. */
  complete: string;
  /** String key: the profile of a user. Personal data, not for app servers. */
  profile(userId: string): string;
  /**
   * Sorted sets of refresh requests. The member is a user id, the score the oldest acceptable fetch in milliseconds
   * since the epoch. `now` takes precedence: a reader waits for those.
   */
  refreshRequests: Readonly<Record<"now" | "later", string>>;
  /** Channel that announces each commit of a user's record. The message is the ticket. */
  commits(userId: string): string;
  /** Pattern of the channels of all users, for `PSUBSCRIBE`. */
  commitsPattern: string;
  /** Stream of the commits that changed flags, if the service is set to write it. */
  changes: string;
}

/**
 * Names the public keys under a prefix. The hash tag `{<user id>}` puts both keys of a user into one cluster slot.
 *
 * @see https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
 */
export function createPublicKeys(prefix: string): PublicKeys {
  return {
    flags: (userId) => `${prefix}:flags:{${userId}}`,
    // Under the prefix of the flags, so that the readers' ACL covers it. No user's key can equal it: ids are in braces.
    complete: `${prefix}:flags:complete`,
    profile: (userId) => `${prefix}:profile:{${userId}}`,
    refreshRequests: { now: `{${prefix}:refresh-requests}:now`, later: `{${prefix}:refresh-requests}:later` },
    commits: (userId) => `${prefix}:commits:{${userId}}`,
    commitsPattern: `${prefix}:commits:*`,
    changes: `${prefix}:changes`,
  };
}
