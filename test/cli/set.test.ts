import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Stack, startStack } from "../support/stack.ts";
import { envOf, kindling } from "./command-line.ts";

let stack: Stack;
let env: Record<string, string>;
let id: string;

beforeEach(async () => {
  stack = await startStack({ workers: false });
  env = envOf(stack.config);
  id = stack.emulator.kinde.createUser({ properties: { compliance_region: "eu" } }).id;
});

afterEach(() => stack.close());

const propertiesOf = () => stack.emulator.kinde.user(id)?.properties;
const patch = { method: "PATCH" };

describe("kindling set", () => {
  it("sets and removes values in Kinde, and prints the flags that every reader sees by now", async () => {
    const args = ["set", id, "onboarded=true", "plan_tier=pro", "--unset", "compliance_region"];
    const { code, stdout, stderr } = await kindling(args, env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(new RegExp(`^${id}\n {2}onboarded +true\n {2}tier +"pro"\n {2}region +null\n`));
    expect(propertiesOf()).toEqual({ onboarded: "true", plan_tier: "pro" });
    expect(await stack.record(id)).toMatchObject({ flags: { onboarded: true, tier: "pro", region: null } });
  });

  it("takes everything behind the first = for the value, nothing at all too", async () => {
    await kindling(["set", id, "compliance_region=a=b c", "plan_tier="], env);
    expect(propertiesOf()).toEqual({ compliance_region: "a=b c", plan_tier: "" });
  });

  it("answers a script with JSON, and drops Kinde's token cache if asked to", async () => {
    const { json } = await kindling(["set", id, "plan_tier=pro", "--refresh-claims", "--json"], env);
    const { flags, ticket, fetchedAt } = (await stack.record(id)) ?? {};
    expect(json).toEqual({ userId: id, flags, ticket, fetchedAt });
    expect(Object.keys(stack.emulator.stats.calls).some((route) => route.includes("refresh_claims"))).toBe(true);
  });

  it.each([
    ["an unknown property", ["no_such=1"], undefined, 1, /no_such/],
    ["a missing scope", ["plan_tier=pro"], { kind: "error", status: 403, ...patch }, 2, /update:user_properties/],
    [
      "Kinde's limit",
      ["plan_tier=pro"],
      { kind: "too_many_requests", resetSeconds: 9, ...patch },
      3,
      /No call to Kinde/,
    ],
    ["Kinde out of reach", ["plan_tier=pro"], { kind: "error", status: 503, ...patch }, 3, /status 503/],
    [
      "a write not to be read back",
      ["plan_tier=pro"],
      { kind: "error", status: 503, method: "GET" },
      1,
      /set them again/,
    ],
  ] as const)("says in one line what stopped it: %s", async (_what, assignments, fault, expected, words) => {
    if (fault !== undefined) stack.emulator.faults.set(fault);
    const { code, stdout, stderr } = await kindling(["set", id, ...assignments], env);
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toMatch(words);
    expect({ code, stdout }).toEqual({ code: expected, stdout: "" });
  });

  it("says that there is no such user", async () => {
    const { code, stderr } = await kindling(["set", "kp_0123456789abcdef", "plan_tier=pro"], env);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "error: Kinde has no user kp_0123456789abcdef.\n" });
  });

  it.each([
    ["nothing to set", [], "key=value or --unset"],
    ["no value", ["plan_tier"], "Expected key=value"],
    ["no key", ["=pro"], "Expected key=value"],
    ["one key twice", ["plan_tier=pro", "plan_tier=free"], "plan_tier is given twice"],
    ["a key set and unset", ["plan_tier=pro", "--unset", "plan_tier"], "both set and unset"],
    ["an assignment to unset", ["--unset", "plan_tier=pro"], "the key of a property alone"],
  ])("refuses %s, in one line and with exit code 2", async (_what, args, words) => {
    const { code, stdout, stderr } = await kindling(["set", id, ...args], env);
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toContain(words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stack.emulator.stats.total).toBe(0);
  });
});
