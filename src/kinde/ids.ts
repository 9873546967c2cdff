import { isUserId } from "kindling/contract";
import { z } from "zod";

/** A user id: `kp_` or `kp:` followed by letters and digits. Kinde's samples contain ids shorter than 32 hex digits. */
export const userId = z.string().refine(isUserId);
/** An organization code: `org_` followed by letters and digits. */
export const organizationCode = z.string().regex(/^org_[0-9A-Za-z]{1,64}$/);
/** The id of a role or permission. */
export const grantId = z.string().regex(/^[0-9A-Za-z_-]{1,128}$/);
/**
 * An id that Kinde returns and that enters a path: wider than the formats above, because Kinde documents them by example
 * only, but never a dot segment or a slash.
 */
export const pathId = z.string().regex(/^[0-9A-Za-z_-][0-9A-Za-z_.:-]{0,127}$/);
/** Organizations of one user: each costs up to two calls. */
export const mostOrganizations = 1_000;
/** An opaque cursor or id that enters a query. */
export const queryId = z.string().min(1).max(2048);

/**
 * Estimates the number of users from the progress of a listing. Kinde reports no total, but user ids are random (UUID
 * version 4), so in a listing sorted by id the last id shows which share of the users has been listed.
 *
 * @returns `undefined` if the listing is not sorted by id, or the ids have another format
 */
export function estimateTotal(page: readonly string[], done: number): number | undefined {
  const last = page.at(-1);
  const digits = last === undefined ? undefined : /^kp[_:]([0-9a-f]{8})[0-9a-f]{24}$/.exec(last)?.[1];
  if (digits === undefined || !page.every((id, index) => index === 0 || (page[index - 1] ?? "") < id)) return undefined;
  const share = (Number.parseInt(digits, 16) + 1) / 2 ** 32;
  return Math.max(done, Math.round(done / share));
}
