import { errorCode } from "../errors.ts";
import type { RecentUsers } from "../redis/recent-users.ts";
import type { Trail } from "../redis/trail.ts";
import type { RefreshUser } from "../refresh/refresh-user.ts";
import type { Admissions, RoutedEvent } from "../webhook/admit.ts";

/** Notes in the trail what each refresh came to. */
export function trailRefreshes(trail: Pick<Trail, "note">, refreshUser: RefreshUser): RefreshUser {
  return async (userId, options) => {
    const note = (outcome: string) => trail.note(userId, { kind: "refresh", what: options.cause ?? "other", outcome });
    try {
      const result = await refreshUser(userId, options);
      if (result.outcome !== "reflected") note(result.outcome);
      return result;
    } catch (error) {
      if (!options.signal.aborted) note(errorCode(error));
      throw error;
    }
  };
}

/** Notes in the trail the events that name a user. */
export function trailEvents(trail: Pick<Trail, "note">, admissions: Admissions): Admissions {
  return {
    ...admissions,
    async admit(event) {
      const outcome = await admissions.admit(event);
      for (const userId of usersOf(event)) trail.note(userId, { kind: "event", what: event.type, outcome });
      return outcome;
    },
  };
}

/** Notes who signs in. */
export function noteSignIns(note: RecentUsers["note"], admissions: Admissions): Admissions {
  return {
    async admit(event) {
      const outcome = await admissions.admit(event);
      if (event.route.to === "users" && event.route.concern === "signIn") note(event.route.userIds);
      return outcome;
    },
  };
}

function usersOf({ route }: RoutedEvent): readonly string[] {
  return route.to === "deleted" ? [route.userId] : route.to === "users" ? route.userIds : [];
}
