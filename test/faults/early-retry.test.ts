import type { Job } from "bullmq";
import { expect, it } from "vitest";
import { KindeError } from "../../src/errors.ts";
import type { Ledger } from "../../src/redis/ledger.ts";
import { jobError, type RetryError } from "../../workers/job-errors.ts";

/** Returns whether the next attempt comes early, after a failed one that drew `ticket`. */
async function isEarly(ticket: number | undefined, latest: number): Promise<boolean> {
  // Of a machine whose clock is a day ahead.
  const job = { attemptsMade: 0, attemptsStarted: 1, processedOn: Date.now() + 86_400_000 } as Job;
  const ledger = { latest: async () => latest } as unknown as Ledger;
  const error = await jobError(new KindeError("kinde_unavailable", "Down."), job, undefined, {
    queue: { rateLimit: async () => {} },
    ledger,
    member: "kp_1",
    ticket,
    attempt: { number: 5, last: false },
    now: Date.now,
    stopping: () => false,
  });
  return (error as RetryError).fresh;
}

it("an event that arrives during a failed attempt is retried early, whatever the clocks say", async () => {
  expect(await isEarly(100, 101)).toBe(true);
  expect(await isEarly(100, 99)).toBe(false);
  expect(await isEarly(undefined, 101)).toBe(false);
});
