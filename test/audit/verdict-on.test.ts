import { describe, expect, it } from "vitest";
import { verdictOn } from "../../src/audit/audit-user.ts";
import { KindeError, RedisError, ThrottledError } from "../../src/errors.ts";

describe("the verdict on an audit that throws", () => {
  it.each(["kinde_unavailable", "kinde_not_found", "kinde_rejected"] as const)("is failed for %s", (code) => {
    expect(verdictOn(new KindeError(code, "No answer."))).toEqual({ verdict: "failed" });
  });

  it.each([
    new KindeError("kinde_unauthorized", "Another secret."),
    new KindeError("kinde_forbidden", "Another scope."),
    new ThrottledError(1_000),
    new RedisError("redis_unavailable", "No Redis."),
    new DOMException("Stopped.", "AbortError"),
  ])("rethrows %s, which does not concern the user", (error) => {
    expect(() => verdictOn(error)).toThrow(error);
  });
});
