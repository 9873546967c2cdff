import { AbsenceError, KindeError } from "../errors.ts";
import { isListed, userExists } from "../kinde/fetch-user.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Absences } from "../redis/absences.ts";
import type { Records, StoredRecord } from "../redis/records.ts";

/**
 * What follows from a user that Kinde does not find:
 * - `deleted`: it is certain enough for a tombstone;
 * - `absent`: the record stays until more observations confirm it;
 * - `unknown`: there is no record, and nothing is written.
 */
export type AbsenceVerdict = "deleted" | "absent" | "unknown";

/**
 * Judges a user that Kinde does not find, without an acknowledged deletion. `claim` is what of Kinde's says that the user
 * exists, so that a 404 needs a second source: an outstanding event, or a list that a sweep read.
 */
export type JudgeAbsence = (
  userId: string,
  claim: "event" | "list" | undefined,
  call: CallOptions,
) => Promise<AbsenceVerdict>;

/** Dependencies of {@link createJudgeAbsence}. */
export interface JudgeAbsenceOptions {
  api: ManagementApi;
  absences: Pick<Absences, "note" | "clear" | "noted" | "suspend" | "resume" | "isSuspended" | "probe">;
  records: Pick<Records, "read" | "readMany">;
  /** Returns ids of random users with a profile: of a store with many tombstones, others would all be deleted. */
  sampleUsers: (size: number) => Promise<string[]>;
  /** Observations that confirm an absence. */
  observations: number;
  /** Users with a record that can be absent at the same time; 0 trusts any number and asks about no other user. */
  limit: number;
}

/** Users asked about to find out whether Kinde answers as usual. More than half of them must exist. */
const probeSize = 5;
/** Random ids to draw for a probe: one can be the user's own, and some can have a corrupt record. */
const drawnForProbe = 20;

/**
 * Creates the judge of absences. Kinde, a proxy in front of it, a lagging copy or another tenant can answer 404 for
 * users who exist. So an absence counts only if the list of users lacks the user too, only after several observations
 * spaced in time, and only while Kinde still finds other users.
 *
 * @throws {AbsenceError} `absence_suspended` if Kinde does not find other users either; `absence_unconfirmed` while
 * another process finds that out
 * @throws {KindeError} `kinde_unavailable` if the list of users has the user
 */
export function createJudgeAbsence(options: JudgeAbsenceOptions): JudgeAbsence {
  const { api, absences, records, observations, limit } = options;
  return async (userId, claim, call) => {
    const stored = await records.read(userId);
    // Kinde confirms the tombstone.
    if (stored.flags?.status === "deleted") return "deleted";
    const held = isHeld(stored);
    // Nobody but a reader claims that the user exists, so no second call is worth it.
    if (!held && claim === undefined) return "unknown";
    if (await isListed(api, userId, call)) {
      await absences.clear(userId);
      throw new KindeError("kinde_unavailable", "GET /api/v1/user does not find a user that GET /api/v1/users lists.");
    }
    // Nothing is lost: if the list is right, the next sweep lists the user again.
    if (!held && claim === "list") return "unknown";
    // What is observed during a suspension proves nothing.
    if (limit > 0 && (await absences.isSuspended())) await requireOthers(options, userId, call);
    const noted = await absences.note(userId, held);
    const confirmed = noted.observations >= observations;
    if (limit > 0 && (confirmed || noted.recent > limit)) await requireOthers(options, userId, call);
    if (!confirmed) return "absent";
    return held ? "deleted" : "unknown";
  };
}

function isHeld({ flags, profile }: StoredRecord): boolean {
  return flags?.status === "present" || profile !== undefined;
}

/** Ends a suspension if Kinde finds other users, otherwise begins one. */
async function requireOthers(options: JudgeAbsenceOptions, userId: string, call: CallOptions): Promise<void> {
  const { absences } = options;
  const answered = await absences.probe(() => findsOthers(options, userId, call));
  if (answered === undefined) {
    throw new AbsenceError("absence_unconfirmed", "Another process is checking whether Kinde finds other users.");
  }
  if (answered) return absences.resume();
  await absences.suspend();
  throw new AbsenceError(
    "absence_suspended",
    "Kinde does not find users that have a record, so none is taken for deleted: check KINDE_DOMAIN and what answers " +
      "for it. If the users are really gone, set KINDLING_ABSENCE_LIMIT (docs/operations.md, Deleted users).",
  );
}

async function findsOthers(options: JudgeAbsenceOptions, userId: string, call: CallOptions): Promise<boolean> {
  const { api, absences, records, sampleUsers } = options;
  const drawn = (await sampleUsers(drawnForProbe)).filter((id) => id !== userId);
  const stored = await records.readMany(drawn);
  const others = drawn.filter((_, index) => stored[index]?.flags?.status === "present").slice(0, probeSize);
  // The only user of a store: there is nobody else to ask about.
  if (others.length === 0) return true;
  const absent = await absences.noted(others);
  let found = 0;
  for (const other of others) {
    if (!absent.has(other) && (await userExists(api, other, call))) found += 1;
    if (found > others.length / 2) return true;
  }
  return false;
}
