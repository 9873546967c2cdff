import { isUserId } from "kindling/contract";
import { z } from "zod";

/** A user id: `kp_` or `kp:` followed by letters and digits. Kinde's samples contain ids shorter than 32 hex digits. */
export const userId = z.string().refine(isUserId);
/** An organization code: `org_` followed by letters and digits. */
export const organizationCode = z.string().regex(/^org_[0-9A-Za-z]{1,64}$/);
/** The id of a role or permission. */
export const grantId = z.string().regex(/^[0-9A-Za-z_-]{1,128}$/);
