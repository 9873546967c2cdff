/** What a profile is made of: the words of the setting that says what to keep. */
export const profileParts = [
  "account",
  "properties",
  "organizations",
  "roles",
  "permissions",
  "billing",
  "identities",
] as const;

export type ProfilePart = (typeof profileParts)[number];
