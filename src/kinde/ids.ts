import { isUserId } from "kindling/contract";
import { z } from "zod";

/** A user's id: `kp_` or `kp:`, then letters and digits; Kinde's samples show ids shorter than 32 hex digits. */
export const userId = z.string().refine(isUserId);
/** An organization's code: `org_`, then letters and digits. */
export const organizationCode = z.string().regex(/^org_[0-9A-Za-z]{1,64}$/);
/** Id of a role or permission. */
export const grantId = z.string().regex(/^[0-9A-Za-z_-]{1,128}$/);
