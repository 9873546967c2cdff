import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { storedShape } from "../../src/redis/stored.ts";

const schema = z.object({ cursor: z.string(), done: z.int() });
const place = storedShape(2, schema, { migrate: (older) => ({ done: 0, ...older }) });

describe("a stored shape", () => {
  it("writes its version and reads its own output", () => {
    const value = { cursor: "a", done: 3 };
    expect(JSON.parse(place.serialize(value))).toEqual({ ...value, v: 2 });
    expect(place.parse(place.serialize(value))).toEqual(value);
    expect(place.parse(place.versioned(value))).toEqual(value);
  });

  it("reads the version from a hash, whose fields are strings", () => {
    const hash = storedShape(1, z.object({ cursor: z.string() }));
    expect(hash.parse({ cursor: "a", v: "1" })).toEqual({ cursor: "a" });
    expect(hash.parse({ cursor: "a", v: "2" })).toBeUndefined();
  });

  it("migrates older versions and treats data without a version as version 0", () => {
    const migrate = vi.fn(({ at }: Readonly<Record<string, unknown>>) => ({ cursor: at, done: 0 }));
    const migrating = storedShape(2, schema, { migrate });
    expect(migrating.parse('{"at":"a"}')).toEqual({ cursor: "a", done: 0 });
    expect(migrating.parse('{"at":"b","v":1}')).toEqual({ cursor: "b", done: 0 });
    expect(migrate.mock.calls).toEqual([
      [{ at: "a" }, 0],
      [{ at: "b" }, 1],
    ]);
  });

  it("rejects an older version that migration cannot repair, and any older version without migration", () => {
    expect(place.parse('{"cursor":1}')).toBeUndefined();
    expect(storedShape(2, schema).parse('{"cursor":"a","done":1,"v":1}')).toBeUndefined();
    const throwing = storedShape(1, schema, {
      migrate() {
        throw new Error("Cannot migrate.");
      },
    });
    expect(throwing.parse("{}")).toBeUndefined();
  });

  it("rejects a newer version, even if the schema would accept it", () => {
    expect(place.parse('{"cursor":"a","done":1,"v":3}')).toBeUndefined();
  });

  it.each([
    undefined,
    null,
    "",
    "no JSON",
    '{"cursor":"a"',
    "null",
    "7",
    "[]",
    7,
    [],
    '{"cursor":"a","done":"1","v":2}',
    '{"cursor":"a","done":1,"v":null}',
    '{"cursor":"a","done":1,"v":-1}',
    '{"cursor":"a","done":1,"v":1.5}',
    '{"cursor":"a","done":1,"v":"two"}',
  ])("rejects %j without throwing", (stored) => {
    expect(place.parse(stored)).toBeUndefined();
  });

  it("drops members that the schema does not know", () => {
    expect(place.parse('{"cursor":"a","done":1,"v":2,"more":true}')).toEqual({ cursor: "a", done: 1 });
  });
});
