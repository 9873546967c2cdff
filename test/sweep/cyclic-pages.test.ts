import { defineFlags } from "kindling";
import { expect, it } from "vitest";
import type { Call, ManagementApi } from "../../src/kinde/management-api.ts";
import { walk } from "../../src/refresh/reprocess.ts";
import { sweepStep } from "../../src/sweep/sweep.ts";
import { beginSweep } from "../../src/sweep/sweep-state.ts";
import { testUser } from "../support/signer.ts";

const { signal } = new AbortController();
const call = { priority: "bulk", signal } as const;

it("a sweep whose search leads in circles fails instead of running forever, also when it is resumed", async () => {
  const next = new Map([
    [testUser(1), testUser(2)],
    [testUser(2), testUser(3)],
    [testUser(3), testUser(2)],
  ]);
  const api: ManagementApi = {
    async get<T>({ path, answer }: Call<T>) {
      const after = new URLSearchParams(path.split("?")[1]).get("starting_after");
      return answer.parse({ results: [{ id: after === null ? testUser(1) : next.get(after) }] });
    },
    send: () => Promise.reject(new Error("Unexpected write.")),
  };
  const nothing = () => Promise.reject(new Error("Not used."));
  const options = {
    api,
    records: { readMany: async () => [], replaceFlags: async () => 0, tickets: nothing, scanIds: nothing },
    fillPage: { stamp: nothing, needsGrants: () => false, commit: nothing },
    ledger: { gaveUp: async () => 0 },
    absences: { countUnknown: async () => 0, noted: async () => new Set<string>() },
    seen: { add: async () => {}, exists: nothing, missing: nothing },
    recheckOrganizations: async () => {},
    grantChanges: { mark: nothing, since: nothing },
    acknowledge: nothing,
    grantIndex: { begin: nothing, add: nothing, read: nothing, catalogue: nothing, forget: nothing },
    grantParts: [],
    listed: { remember: nothing, read: nothing, forget: nothing },
    completeness: { beginCount: nothing },
    disputes: { settle: async () => ({ refresh: [], disputed: [] }) },
    definitions: defineFlags({}),
    now: Date.now,
    pageSize: 1,
    indexLagMs: 0,
    extrasMaxAgeMs: undefined,
    keep: new Set<never>(),
    signIns: false,
  };
  const sweep = async () => {
    let state = beginSweep({ number: 1, previous: undefined, now: 0, fill: false });
    // What a job stores, because any worker can take over after any page.
    while (state.phase === "listing") state = JSON.parse(JSON.stringify((await sweepStep(options, state, call)).state));
    return state;
  };
  await expect(sweep()).rejects.toThrow("leads back to a page that was read before");
});

it("a walk over a listing that leads in circles fails instead of running forever", async () => {
  const enqueued: string[] = [];
  const walking = walk({
    listing: async (cursor) => ({ userIds: [testUser(1)], next: cursor === "a" ? "b" : "a" }),
    queues: {
      bulk: { getJobCounts: async () => ({}) } as never,
      enqueueReprocess: async (userIds) => {
        enqueued.push(...userIds);
      },
    },
    backlog: 10,
    onProgress: () => {},
    signal,
    now: Date.now,
  });
  await expect(walking).rejects.toThrow("leads back to a page that was read before");
  expect(enqueued.length).toBeLessThan(10);
});
