import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineScript, noAnswer, readScript } from "../../src/redis/script.ts";
import { useRedis } from "../support/redis.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = `${root}/src/redis/scripts`;
const context = useRedis();

const luaFiles = (path: string) =>
  readdirSync(path)
    .filter((file) => file.endsWith(".lua"))
    .map((file) => file.slice(0, -".lua".length));
const scripts = luaFiles(folder);
const includes = luaFiles(`${folder}/include`);
const sourceOf = (name: string) => readFileSync(`${folder}/${name}.lua`, "utf8");
const codeOf = (source: string) => source.replace(/--.*$/gm, "");

/** The comment lines before the first other line. */
function headerOf(source: string): string[] {
  const lines = source.split("\n");
  return lines.slice(
    0,
    lines.findIndex((line) => !line.startsWith("--")),
  );
}

/** The indexes of `KEYS` or `ARGV` that a header names: single ones, and the start of an open range (`ARGV[2..]`). */
function documented(source: string, table: string) {
  const entries = headerOf(source).flatMap((line) => [...line.matchAll(/^-- (KEYS|ARGV)\[(\d+)(\.\.)?\] {2,}\S/g)]);
  const ofTable = entries.filter(([, name]) => name === table);
  return {
    single: ofTable.filter(([, , , range]) => range === undefined).map(([, , index]) => Number(index)),
    rangeFrom: ofTable.filter(([, , , range]) => range !== undefined).map(([, , index]) => Number(index)),
  };
}

/** The indexes of `KEYS` or `ARGV` that the code uses, and whether it also uses the table in another way. */
function used(source: string, table: string) {
  const code = codeOf(source);
  const literal = [...code.matchAll(new RegExp(`\\b${table}\\[(\\d+)\\]`, "g"))].map(([, index]) => Number(index));
  return {
    single: [...new Set(literal)].sort((a, b) => a - b),
    computed: new RegExp(`\\b${table}\\b(?!\\[\\d+\\])`).test(code),
  };
}

const typescript = readdirSync(`${root}/src`, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => readFileSync(`${root}/src/${file}`, "utf8"))
  .join("\n");
const defined = [...typescript.matchAll(/defineScript\("([^"]+)"/g)].map(([, name]) => name);

describe("Lua scripts", () => {
  it("are each defined once in TypeScript", () => {
    expect(defined.sort()).toEqual([...scripts].sort());
  });

  it.each(scripts)("%s starts with a header that says what it does and answers", (name) => {
    const header = headerOf(sourceOf(name));
    expect(header[0]).toMatch(/^-- [A-Z].+/);
    expect(header.filter((line) => /^-- Answer {2,}\S/.test(line))).toHaveLength(1);
  });

  it.each(scripts.flatMap((name) => ["KEYS", "ARGV"].map((table) => [name, table] as const)))(
    "%s documents exactly the %s it uses",
    (name, table) => {
      const { single, rangeFrom } = documented(sourceOf(name), table);
      const { single: literal, computed } = used(sourceOf(name), table);
      expect(single).toEqual(literal);
      expect(rangeFrom).toEqual(computed ? [single.length + 1] : []);
      expect(single).toEqual(single.map((_, index) => index + 1));
    },
  );

  it.each(scripts)("%s resolves its includes, each once", (name) => {
    const source = readScript(name);
    expect(source).not.toContain("@include");
    const functions = [...source.matchAll(/^local function (\w+)/gm)].map(([, functionName]) => functionName);
    expect(functions).toEqual([...new Set(functions)]);
  });

  it.each(scripts)("%s loads in Redis", async (name) => {
    const source = readScript(name);
    const digest = createHash("sha1").update(source).digest("hex");
    expect(await context.redis.script("LOAD", source)).toBe(digest);
  });
});

describe("Lua includes", () => {
  const sources = [...scripts, ...includes.map((name) => `include/${name}`)].map(sourceOf).join("\n");

  it.each(includes)("%s is included somewhere", (name) => {
    expect(sources).toContain(`\n-- @include "${name}"\n`);
  });

  it.each(includes)("%s takes parameters instead of KEYS and ARGV", (name) => {
    const source = sourceOf(`include/${name}`);
    expect(headerOf(source)[0]).toMatch(/^-- [A-Z].+/);
    expect(codeOf(source)).not.toMatch(/KEYS|ARGV/);
  });
});

describe("defineScript", () => {
  const ticketKeys = () => [context.keys.ticket.counter, context.keys.ticket.run];

  it("reads the file at first use, not when it is defined", async () => {
    const missing = defineScript("does-not-exist", { call: () => ({ keys: [], args: [] }), answer: z.null() });
    await expect(missing(context.redis, undefined)).rejects.toThrow("does-not-exist.lua");
  });

  it("rejects an answer that does not match the schema", async () => {
    const script = defineScript("draw-ticket", { call: () => ({ keys: ticketKeys(), args: [] }), answer: z.string() });
    const message = 'The Redis script "draw-ticket" returned an unexpected answer.';
    await expect(script(context.redis, undefined)).rejects.toThrow(message);
    await expect(script.many(context.redis, [undefined])).rejects.toThrow(message);
  });

  it("runs many inputs in one round trip and answers in their order", async () => {
    const script = defineScript("draw-ticket", { call: (keys: string[]) => ({ keys, args: [] }), answer: z.int() });
    expect(await script.many(context.redis, [])).toEqual([]);
    // Enough for several batches, the first of them unknown to Redis.
    await context.redis.script("FLUSH");
    const tickets = await script.many(context.redis, Array.from({ length: 250 }, ticketKeys));
    expect(tickets).toEqual([...tickets].sort((a, b) => a - b));
    expect(new Set(tickets).size).toBe(250);
  });

  it("gives each of many inputs its own keys and arguments, however many", async () => {
    const locks = ["one", "two", "three"].map((name) => context.keys.ledgerPart(name));
    for (const lock of locks) await context.redis.set(lock, "holder");
    const release = defineScript("release-lock", {
      call: ({ lock, args }: { lock: string; args: readonly string[] }) => ({ keys: [lock], args }),
      answer: noAnswer,
    });
    const args = [["other"], ["holder", "and more"], ["holder"]];
    const inputs = locks.map((lock, index) => ({ lock, args: args[index] ?? [] }));
    expect(await release.many(context.redis, inputs)).toEqual([null, null, null]);
    expect(await context.redis.mget(locks)).toEqual(["holder", null, null]);
  });

  it("passes on any text to each of many inputs", async () => {
    const holders = ["Zoë 🎉", "", "\ud83c", "\udf89", "a\nb", "7 8"];
    const locks = holders.map((_, index) => context.keys.ledgerPart(`text ${index}`));
    for (const [index, lock] of locks.entries()) await context.redis.set(lock, holders[index] ?? "");
    const release = defineScript("release-lock", {
      call: (index: number) => ({ keys: [locks[index] ?? ""], args: [holders[index] ?? ""] }),
      answer: noAnswer,
    });
    await release.many(context.redis, [...holders.keys()]);
    expect(await context.redis.exists(locks)).toBe(0);
  });
});
