import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { searchUsers } from "../kinde/search-users.ts";

/** Attempts at a step that Kinde leaves unanswered while it answers others. */
export const mostAttempts = 5;
/** Pause between two of them, in milliseconds. */
export const attemptPauseMs = 60_000;

/**
 * Returns whether Kinde answers a search. Then a call that fails again and again says something about what it asks for, not
 * about Kinde: without this, an outage would end everything that is under way.
 */
export async function answersOthers(api: ManagementApi, call: CallOptions): Promise<boolean> {
  return searchUsers(api, { after: null, pageSize: 1 }, call).then(
    () => true,
    () => false,
  );
}
