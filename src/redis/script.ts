import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { isCluster, type RedisClient } from "./client.ts";

/** A Lua script with typed input and a parsed answer. */
export interface Script<Input, Answer> {
  /** Runs the script once. */
  (redis: RedisClient, input: Input): Promise<Answer>;
  /** Runs the script once per input, in one round trip. Returns the answers in the order of the inputs. */
  many(redis: RedisClient, inputs: readonly Input[]): Promise<Answer[]>;
}

/** What a script is called with, numbered from 1 in Lua. */
export interface ScriptCall {
  keys: readonly string[];
  args: readonly (string | number)[];
}

/** Options for {@link defineScript}. */
export interface ScriptOptions<Input, Answer> {
  /** Builds the `KEYS` and `ARGV` that the header of the Lua file documents. */
  call: (input: Input) => ScriptCall;
  answer: z.ZodType<Answer>;
}

/** Answer of a script that returns 1 or 0. */
export const booleanAnswer = z.literal([0, 1]).transform((value) => value === 1);

/** Answer of a script that returns nothing. */
export const noAnswer = z.null();

/**
 * Defines the script in `scripts/<name>.lua`. The file is read at first use.
 *
 * Runs it with `EVALSHA`. Sends the source with `EVAL` only if Redis does not know the script: at first use, after a
 * restart and after `SCRIPT FLUSH`.
 */
export function defineScript<Input, Answer>(
  name: string,
  { call, answer }: ScriptOptions<Input, Answer>,
): Script<Input, Answer> {
  let loaded: { source: string; digest: string } | undefined;
  const load = () => {
    if (loaded === undefined) {
      const source = readScript(name);
      loaded = { source, digest: createHash("sha1").update(source).digest("hex") };
    }
    return loaded;
  };

  const parse = (value: unknown): Answer => {
    const { success, data, error } = answer.safeParse(value);
    if (!success) throw new Error(`The Redis script "${name}" returned an unexpected answer.`, { cause: error });
    return data;
  };

  const run = async (redis: RedisClient, input: Input) => {
    const { keys, args } = call(input);
    const { source, digest } = load();
    try {
      return parse(await redis.evalsha(digest, keys.length, ...keys, ...args));
    } catch (error) {
      if (!isUnknownScript(error)) throw error;
      return parse(await redis.eval(source, keys.length, ...keys, ...args));
    }
  };

  const many = async (redis: RedisClient, inputs: readonly Input[]) => {
    if (inputs.length === 0) return [];
    // A pipeline leads to one node. Without one, the commands leave together all the same.
    if (isCluster(redis)) return Promise.all(inputs.map((input) => run(redis, input)));
    const { source, digest } = load();
    const calls = inputs.map(call);
    const pipeline = redis.pipeline();
    for (const { keys, args } of calls) pipeline.evalsha(digest, keys.length, ...keys, ...args);
    const replies = (await pipeline.exec()) ?? [];
    return Promise.all(
      calls.map(async ({ keys, args }, index) => {
        const [error, reply] = replies[index] ?? [new Error("Connection is closed."), undefined];
        if (isUnknownScript(error)) return parse(await redis.eval(source, keys.length, ...keys, ...args));
        if (error) throw error;
        return parse(reply);
      }),
    );
  };

  return Object.assign(run, { many });
}

/** Reads a script and replaces its `-- @include "name"` lines with the files they name, each once. */
export function readScript(name: string): string {
  const included = new Set<string>();
  const read = (path: string): string =>
    readFileSync(new URL(`./scripts/${path}.lua`, import.meta.url), "utf8").replace(
      /^-- @include "(.+)"$/gm,
      (_line, include: string) => {
        if (included.has(include)) return "";
        included.add(include);
        return read(`include/${include}`);
      },
    );
  return read(name);
}

function isUnknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}
