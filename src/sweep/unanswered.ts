import type { KindeError } from "../errors.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import { searchUsers } from "../kinde/search-users.ts";

/** Attempts at a step that Kinde leaves unanswered while it answers others. */
const mostAttempts = 5;
/** Pause between two of them, in milliseconds. */
export const attemptPauseMs = 60_000;

/**
 * Returns whether to give up a step after so many attempts: at once if Kinde rejects it. If it leaves the step unanswered but
 * answers a search, the failure says something about what was asked for. Without this, an outage would end everything that is
 * under way.
 *
 * @throws the error itself in an outage
 */
export async function isHopeless(
  error: KindeError,
  attempts: number,
  { api, call }: { api: ManagementApi; call: CallOptions },
): Promise<boolean> {
  if (error.code !== "kinde_unavailable") return true;
  await searchUsers(api, { after: null, pageSize: 1 }, call).catch(() => {
    throw error;
  });
  return attempts >= mostAttempts;
}
