import { describe, expect, it } from "vitest";
import { parsePropertyValues } from "../../src/refresh/property-values.ts";

describe("values of properties", () => {
  it("become text, as Kinde keeps them; null stays", () => {
    expect(parsePropertyValues({ onboarded: true, seats: 12, plan_tier: "pro", region: null, note: "" })).toEqual({
      onboarded: "true",
      seats: "12",
      plan_tier: "pro",
      region: null,
      note: "",
    });
  });

  it("lose no key, however odd", () => {
    const odd = JSON.parse('{"__proto__":"a","constructor":"b","with space":"c"}') as Record<string, unknown>;
    expect(Object.entries(parsePropertyValues(odd))).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
      ["with space", "c"],
    ]);
  });

  it.each([
    ["nothing", {}],
    ["no object", []],
    ["null", null],
    ["text", "plan_tier=pro"],
    ["an empty key", { "": "x" }],
    ["a nested value", { plan: { tier: "secret-value" } }],
    ["a list", { plan_tier: ["secret-value"] }],
    ["an endless number", { seats: Number.POSITIVE_INFINITY }],
    ["undefined", { plan_tier: undefined }],
    ["too many", Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`p${index}`, "secret-value"]))],
  ])("are refused, and not repeated in the message: %s", (_what, properties) => {
    expect(() => parsePropertyValues(properties)).toThrow(
      expect.objectContaining({ code: "request_malformed", message: expect.not.stringContaining("secret-value") }),
    );
  });
});
