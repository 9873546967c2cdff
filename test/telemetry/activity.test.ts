import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import definitions from "../../kindling.flags.ts";
import { createManagementApi } from "../../src/kinde/management-api.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { openStore } from "../../src/store.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack | undefined;
const { signal } = new AbortController();

afterEach(async () => {
  await stack?.close();
  stack = undefined;
});

describe("the fleet's counters", () => {
  it("show refreshes by cause and outcome, and calls by status", async () => {
    stack = await startStack({ env: { KINDLING_RETRY_BASE: "10ms" } });
    const { store, emulator, config, world } = stack;
    stack.subscribe();
    emulator.faults.set({ kind: "error", status: 503, count: 1 });
    const { id } = emulator.kinde.createUser({});
    await emulator.deliveries.settled();
    await until(async () => expect((await store.ledger.size()).size).toBe(0));
    await createFlows({ config, world, store, definitions }).setProperties(
      id,
      { plan_tier: "pro" },
      {
        priority: "webhook",
        signal,
      },
    );
    const idle = () =>
      until(async () => expect(await store.queues.bulk.getJobCountByTypes("waiting", "prioritized", "active")).toBe(0));
    for (const cause of ["audit", "absence", "reprocess"] as const) {
      await store.queues.enqueueReprocess([id], "bulk", cause);
      await idle();
    }
    await store.queues.enqueueSwept({ refresh: [id] });
    await idle();
    await store.queues.enqueueRefreshRequests([{ userId: id, freshSince: Date.now() + 60_000 }], "now");
    await until(async () => {
      const { refreshes, calls } = await store.activity.read();
      expect(refreshes).toEqual(
        expect.arrayContaining([
          { cause: "event", outcome: "kinde_unavailable", count: 1 },
          { cause: "event", outcome: "committed", count: 1 },
          { cause: "write", outcome: "committed", count: 1 },
          ...["sweep", "audit", "absence", "reprocess"].map((cause) => ({ cause, outcome: "committed", count: 1 })),
          { cause: "request", outcome: "committed", count: 1 },
        ]),
      );
      expect(calls.filter(({ status }) => status === "503")).toMatchObject([{ count: 1 }]);
      expect(calls).toContainEqual({ route: "POST /oauth2/token", status: "200", count: 1 });
      expect(calls).toContainEqual({ route: "PATCH /api/v1/users/{id}/properties", status: "200", count: 1 });
    });
  });

  it("are written when a process stops", async () => {
    stack = await startStack({ workers: false });
    const other = await openStore(stack.config, stack.world, stack.log);
    other.activity.countMisfit("tier");
    other.refusedRequests.count("POST /x:forged");
    await other.close();
    expect((await stack.store.activity.read()).misfits).toEqual([{ flag: "tier", count: 1 }]);
    expect(await stack.store.refusedRequests.read()).toEqual({ "POST /x:forged": 1 });
  });

  it("call a call without an answer failed, unless it was aborted", async () => {
    const counted: string[] = [];
    const aborted = new AbortController();
    const api = createManagementApi({
      origin: "http://127.0.0.1:1",
      fetch: () => Promise.reject(new Error("ECONNREFUSED")),
      accessTokens: {
        get: async () => "token",
        reportRejected: async () => undefined,
        reportAccepted: () => undefined,
        reportMissingScope: async () => undefined,
      },
      budget: {
        run: (_, call) => call(),
        pause: async () => undefined,
        limit: async () => "one",
      },
      timeoutMs: 1_000,
      onAnswer: (route, status) => counted.push(`${route} ${status}`),
    });
    const users = { path: "/api/v1/users", route: "GET /api/v1/users", scope: "read:users", answer: z.unknown() };
    await expect(api.get(users, { priority: "bulk", signal })).rejects.toMatchObject({ code: "kinde_unavailable" });
    aborted.abort(new Error("shutting down"));
    await expect(api.get(users, { priority: "bulk", signal: aborted.signal })).rejects.toThrow("shutting down");
    expect(counted).toEqual(["GET /api/v1/users failed"]);
  });
});
