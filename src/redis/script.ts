import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { isCluster, type RedisClient } from "./client.ts";

/** A Lua script with typed input and a parsed answer. */
export interface Script<Input, Answer> {
  /** Runs the script once. */
  (redis: RedisClient, input: Input): Promise<Answer>;
  /**
   * Runs the script once per input, in one round trip. Returns the answers in the order of the inputs. An error ends the
   * call: other inputs can have run, or not.
   */
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
  let loaded: { one: Loaded; batch: Loaded } | undefined;
  const load = () => {
    if (loaded === undefined) {
      const source = readScript(name);
      loaded = { one: withDigest(source), batch: withDigest(batchOf(source)) };
    }
    return loaded;
  };

  const parse = (value: unknown): Answer => {
    const { success, data, error } = answer.safeParse(value);
    if (!success) throw new Error(`The Redis script "${name}" returned an unexpected answer.`, { cause: error });
    return data;
  };

  const evaluate = async (redis: RedisClient, { source, digest }: Loaded, { keys, args }: ScriptCall) => {
    try {
      return await redis.evalsha(digest, keys.length, ...keys, ...args);
    } catch (error) {
      if (!isUnknownScript(error)) throw error;
      return redis.eval(source, keys.length, ...keys, ...args);
    }
  };
  const run = async (redis: RedisClient, input: Input) => parse(await evaluate(redis, load().one, call(input)));

  const many = async (redis: RedisClient, inputs: readonly Input[]) => {
    // The keys of a script must be on one node. The commands leave together all the same.
    if (isCluster(redis)) return Promise.all(inputs.map((input) => run(redis, input)));
    const calls = inputs.map(call);
    const batches = Array.from({ length: Math.ceil(calls.length / callsPerBatch) }, (_, index) =>
      calls.slice(index * callsPerBatch, (index + 1) * callsPerBatch),
    );
    const answers = await Promise.all(
      batches.map(async (batch) => {
        return batchAnswer.parse(await evaluate(redis, load().batch, joinCalls(batch)));
      }),
    );
    return answers.flat().map(parse);
  };

  return Object.assign(run, { many });
}

interface Loaded {
  source: string;
  digest: string;
}

function withDigest(source: string): Loaded {
  return { source, digest: createHash("sha1").update(source).digest("hex") };
}

/** Calls in one script: Redis answers nobody else meanwhile, for about a millisecond. */
const callsPerBatch = 100;

const batchAnswer = z.array(z.unknown());

/**
 * Joins calls to one of {@link batchOf}. Their arguments become one text, because ioredis takes a microsecond and a hundred
 * bytes of garbage for each argument.
 */
function joinCalls(calls: readonly ScriptCall[]): ScriptCall {
  const counts = calls.flatMap(({ keys, args }) => [
    keys.length,
    args.length,
    ...args.map((arg) => Buffer.byteLength(String(arg))),
  ]);
  const texts = calls.flatMap(({ args }) => args);
  // Between two halves of a character there must be something, or they become that character.
  return { keys: calls.flatMap(({ keys }) => keys), args: [counts.join(" "), texts.join("\n")] };
}

/** Wraps a script so that it runs many times: a command for each call costs three times as much of a process's CPU. */
function batchOf(source: string): string {
  return `local function run(KEYS, ARGV)
${source}
end
local answers, key, at = {}, 0, 1
local numbers = string.gmatch(ARGV[1], '%d+')
local function nextNumber() return tonumber(numbers()) end
for keyCount in numbers do
  local keys, args = {}, {}
  for i = 1, tonumber(keyCount) do keys[i] = KEYS[key + i] end
  key = key + tonumber(keyCount)
  for i = 1, nextNumber() do
    local length = nextNumber()
    args[i] = string.sub(ARGV[2], at, at + length - 1)
    at = at + length + 1
  end
  answers[#answers + 1] = run(keys, args) or false
end
return answers`;
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
