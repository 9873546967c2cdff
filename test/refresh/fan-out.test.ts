import { randomUUID } from "node:crypto";
import { defineFlags, property } from "kindling";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadDefinitions } from "../../src/load-definitions.ts";
import { connectRedis } from "../../src/redis/connection.ts";
import type { FanoutPlace } from "../../src/refresh/fan-out.ts";
import type { FanoutSubject } from "../../src/refresh/queues.ts";
import { createFlows } from "../../src/service/create-flows.ts";
import { createSweepPace } from "../../src/sweep/pace.ts";
import { nobodyAged } from "../../src/sweep/sweep-state.ts";
import { createAdmissions } from "../../src/webhook/admit.ts";
import { type StartWorkersOptions, startWorkers } from "../../workers/start-workers.ts";
import { testUser } from "../support/signer.ts";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const call = { priority: "webhook", signal: new AbortController().signal } as const;
let stack: Stack;

/** Tests that start workers of their own. */
const withOwnWorkers = [
  "continues where it was interrupted",
  "leaves out users fetched later than the settle time after it began, and no others",
];

beforeEach(async ({ task }) => {
  stack = await startStack({ workers: !withOwnWorkers.includes(task.name) });
});

afterEach(() => stack.close());

async function walk(
  subject: FanoutSubject,
  env: Partial<Stack["config"]> = {},
  definitions = loadDefinitions(stack.config.flagsFile),
) {
  const { fanOut } = createFlows({
    config: { ...stack.config, ...env },
    world: stack.world,
    store: stack.store,
    definitions: await definitions,
  });
  const found: string[] = [];
  let at: FanoutPlace | undefined;
  let pages = 0;
  do {
    const page = await fanOut(subject, at, call);
    found.push(...page.userIds);
    at = page.next;
    pages += 1;
  } while (at !== undefined);
  return { found: new Set(found), pages };
}

describe("the users affected by a change", () => {
  it("are found page by page among the members of an organization", async () => {
    const { kinde } = stack.emulator;
    // The first organization is the default one, which users without another join.
    kinde.createOrganization();
    const { code } = kinde.createOrganization();
    const members = kinde.importUsers(Array.from({ length: 1_200 }, () => ({ organizations: [code] })));
    kinde.importUsers([{}, {}]);
    const { found, pages } = await walk(`organization:${code}`);
    expect(found).toEqual(new Set(members.map(({ id }) => id)));
    expect(pages).toBeGreaterThanOrEqual(3);
  });

  it("are found in the records after Kinde has deleted the subject", async () => {
    const { kinde } = stack.emulator;
    stack.subscribe();
    const { code } = kinde.createOrganization();
    const role = kinde.createRole("editor", ["write"]);
    const permission = kinde.permissions().find(({ key }) => key === "write");
    const { id } = kinde.createUser({ organizations: [{ code, roles: ["editor"] }] });
    kinde.createUser();
    await stack.emulator.deliveries.settled();
    await until(async () => {
      expect((await stack.store.records.read(id)).profile?.organizations).toHaveLength(1);
      expect((await stack.store.ledger.size()).size + (await stack.store.fanoutLedger.size()).size).toBe(0);
      // A fan-out includes users whose refresh is just ending.
      expect(await stack.store.queues.activeUsers()).toEqual([]);
    });
    stack.emulator.webhooks.remove(stack.emulator.webhooks.list()[0]?.id ?? "");
    kinde.deleteRole("editor");
    kinde.deleteOrganization(code);
    const only = new Set([id]);
    expect((await walk(`role:${role.id}`)).found).toEqual(only);
    expect((await walk(`permission:${permission?.id}`)).found).toEqual(only);
    expect((await walk(`organization:${code}`)).found).toEqual(only);
  });

  it("are none if neither flags nor profiles contain roles and permissions", async () => {
    const definitions = defineFlags({ onboarded: property.boolean("onboarded", { default: false }) });
    const keep = new Set(["account", "properties", "organizations"] as const);
    stack.emulator.stats.reset();
    const { found } = await walk("role:x", { profile: keep }, Promise.resolve(definitions));
    expect(found.size).toBe(0);
    expect(stack.emulator.stats.total).toBe(0);
  });
});

describe("a fan-out", () => {
  it("refreshes every member through the ledger and the bulk queue", async () => {
    const { kinde } = stack.emulator;
    stack.subscribe();
    const { code } = kinde.createOrganization();
    const members = kinde.importUsers(Array.from({ length: 600 }, () => ({ organizations: [code] })));
    kinde.updateOrganization(code, { name: "Renamed" });
    await until(async () => {
      const tickets = await stack.store.records.tickets(members.map(({ id }) => id));
      expect(tickets.every((ticket) => ticket > 0)).toBe(true);
      expect((await stack.store.ledger.size()).size + (await stack.store.fanoutLedger.size()).size).toBe(0);
    }, 60_000);
  }, 90_000);

  /** Starts workers for one fan-out, and admits its event. */
  const fanOutWith = async (parts: Pick<StartWorkersOptions, "fanOut"> & Partial<StartWorkersOptions>) => {
    const { store, config, world, log } = stack;
    const connection = connectRedis({ url: config.redisUrl, onError: () => {} });
    const workers = startWorkers({
      ...store,
      connection,
      prefix: `${store.keys.queues}`,
      retry: { attempts: 3, baseMs: 1, maxMs: 1 },
      concurrency: { refresh: 1, bulk: 1, requests: 1 },
      push: { fetch, timeoutMs: 1_000 },
      refreshUser: () => Promise.reject(new Error("Unexpected refresh.")),
      acknowledge: async () => {},
      sweepStep: () => Promise.reject(new Error("Unexpected sweep.")),
      drawSample: async () => [],
      auditUser: () => Promise.reject(new Error("Unexpected audit.")),
      checkWebhook: () => Promise.reject(new Error("Unexpected webhook check.")),
      pace: createSweepPace({ ...store, own: { intervalMs: 0, share: 0.1 }, onOther: () => {} }),
      walks: { agedSince: async () => nobodyAged, beginDue: async (state) => state, step: async () => undefined },
      readAged: async () => nobodyAged,
      recentChecks: { step: async () => ({ refresh: [], calls: 0, waitMs: undefined }) },
      recent: { share: 0, intervalMs: 30_000 },
      perMinute: 1_000,
      pageSize: 500,
      paceMs: 0,
      backlog: 1,
      settleMs: 0,
      now: world.now,
      log,
      ...parts,
    });
    const admissions = createAdmissions({
      ...store,
      burst: { quietMs: 0, maxMs: 0 },
      onError: () => {},
    });
    await admissions.admit({
      id: `event_${randomUUID()}`,
      type: "organization.updated",
      route: { to: "fanout", subject: "organization:org_1" },
    });
    return async () => {
      await workers.close(1_000);
      connection.disconnect();
    };
  };

  it("continues where it was interrupted", async () => {
    const asked: (string | null)[] = [];
    const close = await fanOutWith({
      fanOut: async (_subject, at) => {
        asked.push(at?.cursor ?? null);
        if (asked.length === 3) throw new Error("The process died.");
        const page = Number(at?.cursor ?? 0) + 1;
        return { userIds: [], next: page === 4 ? undefined : { source: "listing", cursor: String(page) } };
      },
    });
    await until(async () => expect(asked).toEqual([null, "1", "2", "2", "3"]));
    await close();
  });

  it("leaves out users fetched later than the settle time after it began, and no others", async () => {
    const { records, ledger } = stack.store;
    const acknowledged: string[][] = [];
    const times: unknown[] = [];
    const ids = [1, 2, 3, 4].map(testUser);
    const close = await fanOutWith({
      settleMs: 30_000,
      fanOut: async (_subject, _at, { changedAt = 0 }) => {
        times.push(changedAt * 1_000);
        return { userIds: ids, next: undefined };
      },
      acknowledge: async (userIds, { since }) => {
        times.push(since);
        acknowledged.push([...userIds]);
      },
      records: {
        ...records,
        stamps: async () => {
          const [{ ticket }, now] = await Promise.all([ledger.begin("kp_1"), ledger.clock()]);
          return [
            { ticket: 0, fetchedAt: 0, accountAt: 0 },
            // Kinde can have answered from a copy that lags.
            { ticket, fetchedAt: now + 1_000, accountAt: now + 1_000 },
            { ticket, fetchedAt: now + 60_000, accountAt: now + 60_000 },
            { ticket: 1, fetchedAt: now + 60_000, accountAt: now + 60_000 },
          ];
        },
      },
    });
    await until(async () => expect(acknowledged).toEqual([[ids[0], ids[1], ids[3]]]));
    // The organization and its members settle together.
    expect(times).toEqual([times[1], expect.any(Number)]);
    await close();
  });
});
