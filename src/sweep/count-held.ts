import type { Ledger } from "../redis/ledger.ts";
import type { Records } from "../redis/records.ts";
import type { ListedUsers } from "./listed-users.ts";
import type { SweepState } from "./sweep-state.ts";

/** Dependencies of {@link countHeldStep}. */
export interface CountHeldOptions {
  listed: Pick<ListedUsers, "read">;
  records: Pick<Records, "tickets">;
  ledger: Pick<Ledger, "gaveUp">;
}

/**
 * Counts how many users of one listed page the store holds by now. Users whose refresh gave up count too: they are listed
 * as failures, and must not keep the store incomplete forever.
 *
 * @returns the next state, and whether the count is over: after the last page, or as soon as a user is not held
 */
export async function countHeldStep(
  { listed, records, ledger }: CountHeldOptions,
  state: SweepState,
): Promise<{ state: SweepState; over: boolean }> {
  const page = await listed.read(state.mark, state.cursor);
  if (page === undefined) return { state, over: true };
  const tickets = await records.tickets(page.ids);
  const unheld = page.ids.filter((_, index) => tickets[index] === 0);
  if ((await ledger.gaveUp(unheld)) < unheld.length) return { state, over: true };
  const held = state.held + page.ids.length;
  if (page.next !== null) return { state: { ...state, held, cursor: page.next }, over: false };
  return { state: { ...state, held, verified: held === state.users }, over: true };
}
