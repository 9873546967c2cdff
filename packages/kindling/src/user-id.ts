const pattern = /^kp[_:][0-9A-Za-z]{1,64}$/;

/** Whether a value is a Kinde user id: `kp_` or `kp:`, then letters and digits. */
export function isUserId(value: unknown): value is string {
  return typeof value === "string" && pattern.test(value);
}
