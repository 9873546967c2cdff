/** The result of one check of `kindling doctor`. */
export interface Check {
  name: string;
  /** `skipped`: it needs something that another check found broken. */
  status: "ok" | "warning" | "failed" | "skipped";
  /** What was found, with the cause. */
  message: string;
  /** What to do. */
  remedy?: string;
}

/** Creates the checks of one subject. */
export function checksOf(name: string) {
  const found =
    (status: Check["status"]) =>
    (message: string, remedy?: string): Check => ({ name, status, message, ...(remedy !== undefined && { remedy }) });
  return { ok: found("ok"), warning: found("warning"), failed: found("failed"), skipped: found("skipped") };
}
