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
  it("sets and removes properties in Kinde and prints the resulting flags", async () => {
    const args = ["set", id, "onboarded=true", "plan_tier=pro", "--unset", "compliance_region"];
    const { code, stdout, stderr } = await kindling(args, env);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(new RegExp(`^${id}\n {2}onboarded +true\n {2}tier +"pro"\n {2}region +null\n`));
    expect(propertiesOf()).toEqual({ onboarded: "true", plan_tier: "pro" });
    expect(await stack.record(id)).toMatchObject({ flags: { onboarded: true, tier: "pro", region: null } });
  });

  it("takes everything after the first = as the value, even nothing", async () => {
    await kindling(["set", id, "compliance_region=a=b c", "plan_tier="], env);
    expect(propertiesOf()).toEqual({ compliance_region: "a=b c", plan_tier: "" });
  });

  it("prints JSON with --json and refreshes claims with --refresh-claims", async () => {
    const { json } = await kindling(["set", id, "plan_tier=pro", "--refresh-claims", "--json"], env);
    const { flags, ticket, fetchedAt } = (await stack.record(id)) ?? {};
    expect(json).toEqual({ v: 1, userId: id, flags, ticket, fetchedAt, misfits: [] });
    expect(Object.keys(stack.emulator.stats.calls).some((route) => route.includes("refresh_claims"))).toBe(true);
  });

  it("warns when a value does not fit its flag, and writes it all the same", async () => {
    const { code, stdout, stderr } = await kindling(["set", id, "plan_tier=gold", "onboarded=true"], env);
    expect(code).toBe(0);
    expect(stdout).toMatch(/onboarded +true\n {2}tier +"free"\n/);
    expect(stderr).toMatch(
      /^warning: Kinde has the value, but the flag tier has its default: "gold" is not one of .+\n$/,
    );
    expect(propertiesOf()).toMatchObject({ plan_tier: "gold" });
    const { json } = await kindling(["set", id, "plan_tier=gold", "--json"], env);
    expect(json).toMatchObject({ misfits: [{ flag: "tier", reason: expect.stringContaining('"gold"') }] });
    const unset = await kindling(["set", id, "--unset", "plan_tier"], env);
    expect(unset).toMatchObject({ code: 0, stderr: "" });
  });

  it.each([
    ["an unknown property", ["no_such=1"], undefined, 1, /no_such/],
    ["a missing scope", ["plan_tier=pro"], { kind: "error", status: 403, ...patch }, 2, /update:user_properties/],
    [
      "Kinde's limit",
      ["plan_tier=pro"],
      { kind: "too_many_requests", resetSeconds: 9, ...patch },
      3,
      /Kinde limits the calls about this user/,
    ],
    ["Kinde unavailable", ["plan_tier=pro"], { kind: "error", status: 503, ...patch }, 3, /status 503/],
    [
      "a write that cannot be read back",
      ["plan_tier=pro"],
      { kind: "error", status: 503, method: "GET" },
      1,
      /Set them again/,
    ],
  ] as const)("reports %s on one line", async (_what, assignments, fault, expected, words) => {
    if (fault !== undefined) stack.emulator.faults.set(fault);
    const { code, stdout, stderr } = await kindling(["set", id, ...assignments], env);
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toMatch(words);
    expect({ code, stdout }).toEqual({ code: expected, stdout: "" });
  });

  it("reports an unknown user", async () => {
    const { code, stderr } = await kindling(["set", "kp_0123456789abcdef", "plan_tier=pro"], env);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "error: Kinde has no user kp_0123456789abcdef.\n" });
  });

  it.each([
    ["no assignment", [], "key=value or --unset"],
    ["a key without a value", ["plan_tier"], "Expected key=value"],
    ["a value without a key", ["=pro"], "Expected key=value"],
    ["a key set twice", ["plan_tier=pro", "plan_tier=free"], "plan_tier is given twice"],
    ["a key set and unset", ["plan_tier=pro", "--unset", "plan_tier"], "both set and unset"],
    ["an assignment in --unset", ["--unset", "plan_tier=pro"], "a property key without a value"],
  ])("rejects %s on one line and exits with 2", async (_what, args, words) => {
    const { code, stdout, stderr } = await kindling(["set", id, ...args], env);
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toContain(words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stack.emulator.stats.total).toBe(0);
  });
});
