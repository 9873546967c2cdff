import type { Absences } from "../redis/absences.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import type { ListedUsers } from "./listed-users.ts";
import type { SweepState } from "./sweep-state.ts";

/** Dependencies of {@link countHeldStep}. */
export interface CountHeldOptions {
  listed: Pick<ListedUsers, "read">;
  records: Pick<Records, "tickets">;
  ledger: Pick<Ledger, "gaveUp">;
  absences: Pick<Absences, "countUnknown">;
}

/**
 * Counts the users without a record that need none: those whose refresh gave up, who are listed as failures, and those
 * that Kinde's search lists but its user endpoint does not have.
 */
export async function countUnheld(
  { ledger, absences }: Pick<CountHeldOptions, "ledger" | "absences">,
  userIds: readonly string[],
): Promise<number> {
  // One by one, as a user can be both.
  const needNone = await Promise.all(
    userIds.map(async (id) => (await ledger.gaveUp([id])) + (await absences.countUnknown([id])) > 0),
  );
  return needNone.filter(Boolean).length;
}

/**
 * Counts how many users of one listed page the store holds by now. Those who need no record count too: they must not keep
 * the store incomplete forever.
 *
 * @returns the next state, and whether the count is over: after the last page, or as soon as a user is not held
 */
export async function countHeldStep(
  options: CountHeldOptions,
  state: SweepState,
): Promise<{ state: SweepState; over: boolean }> {
  const page = await options.listed.read(state.mark, state.cursor);
  if (page === undefined) return { state, over: true };
  const tickets = await options.records.tickets(page.ids);
  const unheld = page.ids.filter((_, index) => tickets[index] === 0);
  if ((await countUnheld(options, unheld)) < unheld.length) return { state, over: true };
  const held = state.held + page.ids.length;
  if (page.next !== null) return { state: { ...state, held, cursor: page.next }, over: false };
  return { state: { ...state, held, verified: held === state.users }, over: true };
}
