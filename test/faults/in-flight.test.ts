import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

let stack: Stack;

beforeEach(async () => {
  stack = await startStack();
  stack.subscribe();
});

afterEach(() => stack.close());

const idle = () =>
  until(async () => {
    expect((await stack.store.ledger.size()).size + (await stack.store.fanoutLedger.size()).size).toBe(0);
    const { refresh, bulk, fanout } = stack.store.queues;
    for (const queue of [refresh, bulk, fanout]) {
      expect(await queue.getJobCountByTypes("waiting", "prioritized", "active", "delayed")).toBe(0);
    }
  });

/** Creates a member whose first fetch has read the old grants and commits them only after `change` was processed. */
async function changeDuringFetch(change: (code: string) => void): Promise<string> {
  const { kinde, faults, deliveries } = stack.emulator;
  kinde.createRole("editor", ["admin:access"]);
  const { code } = kinde.createOrganization();
  await deliveries.settled();
  await idle();
  faults.set({ kind: "latency", ms: 1_000, when: "after", path: "/api/v1/organizations/*/users/*/*", count: 2 });
  const { id } = kinde.createUser({ organizations: [{ code, roles: ["editor"] }] });
  await until(() => expect(faults.list()).toEqual([]));
  change(code);
  await deliveries.settled();
  await idle();
  return id;
}

describe("a change to a role, permission or organization during the first fetch of a member", () => {
  it("removes a deleted role from the record", async () => {
    const id = await changeDuringFetch(() => stack.emulator.kinde.deleteRole("editor"));
    expect(await stack.record(id)).toMatchObject({ flags: { admin: false } });
  });

  it("removes a deleted permission from the record", async () => {
    const id = await changeDuringFetch(() => stack.emulator.kinde.deletePermission("admin:access"));
    expect(await stack.record(id)).toMatchObject({ flags: { admin: false } });
  });

  it("removes a deleted organization from the record", async () => {
    const id = await changeDuringFetch((code) => stack.emulator.kinde.deleteOrganization(code));
    expect(await stack.record(id)).toMatchObject({ flags: { admin: false } });
  });

  it("removes a permission that the role lost from the record", async () => {
    const id = await changeDuringFetch(() => stack.emulator.kinde.updateRole("editor", { permissions: [] }));
    expect(await stack.record(id)).toMatchObject({ flags: { admin: false } });
  });
});
