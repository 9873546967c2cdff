import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { envOf, kindling } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;

beforeEach(async () => {
  stack = await startStack({ workers: false, emulator: { users: 3 }, env: { KINDLING_RETRY_BASE: "1ms" } });
  env = envOf(stack.config);
});

afterEach(() => stack.close());

const failure = (code: string) => ({
  code,
  message: "Give the application the scope read:users.",
  failedAt: Date.now() - 120_000,
  attempts: 4,
  final: true,
});

const jobs = async () => ({
  bulk: (await stack.store.queues.bulk.getJobs(["waiting", "prioritized"])).map(({ data }) => data.userId),
  fanout: (await stack.store.queues.fanout.getJobs(["waiting"])).map(({ data }) => data.subject),
});

async function failSome(): Promise<{ first: string; second: string }> {
  const [first = "", second = ""] = stack.emulator.kinde.userIds();
  await stack.store.ledger.fail(first, failure("kinde_forbidden"));
  await stack.store.ledger.fail(second, failure("kinde_unavailable"));
  await stack.store.fanoutLedger.fail("organization:org_1", failure("kinde_forbidden"));
  return { first, second };
}

describe("kindling failed", () => {
  it("lists users and fan-outs with code, attempts, age and reason, and exits with 1", async () => {
    const { first } = await failSome();
    const { code, json, stderr } = await kindling(["failed", "--json"], env);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
    const { failures } = json as { failures: { member: string }[] };
    expect(failures).toHaveLength(3);
    expect(failures.find(({ member }) => member === first)).toMatchObject({
      kind: "user",
      code: "kinde_forbidden",
      attempts: 4,
      final: true,
    });
    const { stdout } = await kindling(["failed"], env);
    expect(stdout).toMatch(
      new RegExp(`${first} +kinde_forbidden +4 attempts +2 m( \\d+ s)? ago +Give the application`),
    );
    expect(stdout).toMatch(/^organization:org_1 +kinde_forbidden/m);
  });

  it("exits with 0 if there are no failures", async () => {
    expect(await kindling(["failed"], env)).toMatchObject({ code: 0, stdout: "No failures.\n" });
    expect((await kindling(["failed", "--json"], env)).json).toEqual({ v: 1, failures: [] });
  });
});

describe("kindling failed retry", () => {
  it("enqueues only the given ids", async () => {
    const { second } = await failSome();
    const { code, json } = await kindling(["failed", "retry", second, "organization:org_1", "--json"], env);
    expect(code).toBe(0);
    expect(json).toMatchObject({ missing: [] });
    expect(await jobs()).toEqual({ bulk: [second], fanout: ["organization:org_1"] });
  });

  it("names an id that is not on the failed list, retries the others and exits with 1", async () => {
    const { first } = await failSome();
    const { code, stderr } = await kindling(["failed", "retry", "kp_0", first], env);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "Not on the failed list: kp_0\n" });
    expect(await jobs()).toEqual({ bulk: [first], fanout: [] });
  });

  it.each([
    ["drops", "kinde_forbidden", false],
    ["drops", "kinde_unauthorized", false],
    ["keeps", "kinde_unavailable", true],
  ])("%s the fleet's access token after %s", async (_verb, code, keeps) => {
    const [id = ""] = stack.emulator.kinde.userIds();
    const { accessToken, ledger: users, fanoutLedger: fanouts } = stack.store;
    const token = { token: "bought", issuedAt: Date.now(), expiresAt: Date.now() + 60_000 };
    await accessToken.write(token);
    await users.fail(id, failure(code));
    await fanouts.fail("organization:org_1", failure("kinde_forbidden"));
    await kindling(["failed", "retry", id], env);
    expect(await accessToken.read()).toEqual(keeps ? token : undefined);
  });

  it("enqueues the whole list with --all, and a worker clears it", async () => {
    await failSome();
    expect(await kindling(["failed", "retry", "--all"], env)).toMatchObject({
      code: 0,
      stdout: "Enqueued: 3\n",
    });
    await stack.startWorkers();
    await until(async () => expect((await kindling(["failed"], env)).code).toBe(0));
  });
});

describe("kindling failed discard", () => {
  it("removes only the given id from the failed list and the ledger, without a refresh", async () => {
    const { first, second } = await failSome();
    expect((await kindling(["failed", "discard", first], env)).code).toBe(0);
    expect(await stack.store.ledger.entry(first)).toBeUndefined();
    expect((await stack.store.ledger.entry(second))?.failure?.code).toBe("kinde_unavailable");
    expect(await jobs()).toEqual({ bulk: [], fanout: [] });
  });

  it("does not discard a user that has not failed, because its event would be lost", async () => {
    stack.subscribe();
    const { id } = stack.emulator.kinde.createUser();
    await stack.emulator.deliveries.settled();
    expect((await kindling(["failed", "discard", id], env)).code).toBe(1);
    expect(await stack.store.ledger.entry(id)).toBeDefined();
  });

  it("removes users and fan-outs with --all", async () => {
    await failSome();
    const { json } = await kindling(["failed", "discard", "--all", "--json"], env);
    expect((json as { discarded: string[] }).discarded).toHaveLength(3);
    expect(await stack.store.ledger.size()).toMatchObject({ size: 0, failed: 0 });
    expect(await stack.store.fanoutLedger.size()).toMatchObject({ size: 0, failed: 0 });
  });
});
