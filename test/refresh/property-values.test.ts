import { describe, expect, it } from "vitest";
import { parsePropertyValues } from "../../src/refresh/property-values.ts";

describe("property values", () => {
  it("become strings, as Kinde stores them, and null stays null", () => {
    expect(parsePropertyValues({ onboarded: true, seats: 12, plan_tier: "pro", region: null, note: "" })).toEqual({
      onboarded: "true",
      seats: "12",
      plan_tier: "pro",
      region: null,
      note: "",
    });
  });

  it("keep every key, even special ones", () => {
    const special = JSON.parse('{"__proto__":"a","constructor":"b","with space":"c"}') as Record<string, unknown>;
    expect(Object.entries(parsePropertyValues(special))).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
      ["with space", "c"],
    ]);
  });

  it("are named when they are rejected, unless their key could be anything", () => {
    expect(() => parsePropertyValues({ a: "x", plan_tier: {} })).toThrow("plan_tier must be a string");
    for (const key of ["ada@example.com", "4915112345678", "+49-151"])
      expect(() => parsePropertyValues({ [key]: {} })).toThrow("properties: must be a string");
  });

  it.each([
    ["no properties", {}],
    ["an array", []],
    ["null", null],
    ["a string", "plan_tier=pro"],
    ["an empty key", { "": "x" }],
    ["a nested value", { plan: { tier: "secret-value" } }],
    ["a list", { plan_tier: ["secret-value"] }],
    ["an infinite number", { seats: Number.POSITIVE_INFINITY }],
    ["undefined", { plan_tier: undefined }],
    [
      "too many properties",
      Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`p${index}`, "secret-value"])),
    ],
  ])("are rejected without being repeated in the message: %s", (_what, properties) => {
    expect(() => parsePropertyValues(properties)).toThrow(
      expect.objectContaining({ code: "request_malformed", message: expect.not.stringContaining("secret-value") }),
    );
  });
});
