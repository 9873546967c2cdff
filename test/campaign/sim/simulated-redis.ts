import { createHash } from "node:crypto";
import type { RealRedis } from "./real-redis.ts";
import { decode, ok, reply, type Value } from "./resp.ts";
import {
  copyKeys,
  expireKeys,
  own,
  popFirst,
  rewriteScript,
  runCommand,
  simulatedCommands,
  takeNotes,
} from "./rewrite-script.ts";
import type { Timeline } from "./timeline.ts";

/** What happened in Redis beside the replies. */
export interface Effects {
  /** One reply per command. */
  replies: Buffer[];
  messages: { channel: string; message: string }[];
  /** Keys that blocked clients can wait for and that got a member. */
  woken: string[];
}

/** The Redis of the simulated deployment: the real one, with a simulated clock, process and memory. */
export interface SimulatedRedis {
  /** Runs the commands of one round trip. */
  execute(commands: readonly string[][]): Promise<Effects>;
  /** Takes the first member of the first key that has one, as BZPOPMIN does; `undefined` if all are empty. */
  pop(keys: readonly string[]): Promise<Buffer | undefined>;
  /** Sets how far its clock is from the true time, in milliseconds. */
  setClock(offsetMs: number): void;
  readonly offsetMs: number;
  /** Begins to refuse writes for want of memory, or ends it. */
  setFull(full: boolean): void;
  /** Another process serves the same data: a restart. */
  restart(): void;
  /** Keeps the data of now, as a replica that receives nothing from here on. */
  fork(): Promise<void>;
  /** The replica takes over: what was written since the fork is lost. Answers false if there is none. */
  failOver(): Promise<boolean>;
  flushScripts(): void;
  flushAll(): Promise<void>;
}

const sha = (text: string) => createHash("sha1").update(text, "latin1").digest("hex");
const helpers = { runCommand, expireKeys, takeNotes, copyKeys, popFirst };
const shaOf = Object.fromEntries(Object.entries(helpers).map(([name, source]) => [name, sha(source)])) as Record<
  keyof typeof helpers,
  string
>;

/** Scripts that the real Redis has, by the digest of the original. They survive schedules. */
export type LoadedScripts = Map<string, string>;

/** Readies a real Redis for simulations. */
export async function prepareRealRedis(redis: RealRedis): Promise<LoadedScripts> {
  const replies = await redis.send([
    ["FLUSHALL"],
    ["SCRIPT", "FLUSH"],
    // Hashes of any size answer in the order of insertion, not in that of a random hash function.
    ["CONFIG", "SET", "hash-max-listpack-entries", "100000", "hash-max-listpack-value", "100000"],
    ...Object.values(helpers).map((source) => ["SCRIPT", "LOAD", source]),
  ]);
  const refused = replies.find((bytes) => bytes.toString("latin1", 0, 1) === "-");
  if (refused !== undefined) throw new Error(`Redis cannot be used for simulations: ${refused.toString().trim()}`);
  return new Map();
}

/** Creates the simulated Redis over an empty real one. */
export async function createSimulatedRedis(
  real: RealRedis,
  timeline: Timeline,
  loaded: LoadedScripts,
): Promise<SimulatedRedis> {
  let offsetMs = 0;
  let run = 1;
  let full = false;
  let forked = false;
  let known = new Set<string>();
  let nextExpiry = 0;
  const runId = () => sha(`run ${run}`);
  const micros = () => timeline.now + offsetMs * 1000;

  const preamble = () => {
    const commands = [["SET", own.clock, String(micros())]];
    if (nextExpiry > 0 && nextExpiry <= micros() / 1000)
      commands.push(["EVALSHA", shaOf.expireKeys, "0", String(Math.floor(micros() / 1000))]);
    return commands;
  };
  const lowMemory = (commands: readonly string[][]) =>
    full ? [["CONFIG", "SET", "maxmemory", "1"], ...commands, ["CONFIG", "SET", "maxmemory", "0"]] : commands;

  // Answers what the simulation knows itself, and otherwise the command for the real Redis.
  const translate = async (command: string[]): Promise<{ answer: Buffer } | { send: string[] }> => {
    const [given = "", first = "", ...rest] = command;
    const name = given.toUpperCase();
    switch (name) {
      case "EVALSHA": {
        const rewritten = known.has(first) ? loaded.get(first) : undefined;
        if (rewritten !== undefined) return { send: ["EVALSHA", rewritten, ...rest] };
        return { answer: Buffer.from("-NOSCRIPT No matching script. Please use EVAL.\r\n") };
      }
      case "EVAL":
        return { send: ["EVALSHA", await load(first), ...rest] };
      case "SCRIPT":
        return { answer: await answerScript(first.toUpperCase(), rest) };
      case "INFO":
        return { answer: reply(infoOf(runId(), timeline.now)) };
      case "SCAN":
        return { answer: await scan([first, ...rest]) };
      case "SELECT":
      case "CLIENT":
        return { answer: ok };
      case "WAIT":
        return { answer: reply(0) };
      case "SET":
        return { send: rest.length > 1 ? ["EVALSHA", shaOf.runCommand, "0", ...command] : command };
      default:
        return { send: simulatedCommands.has(name) ? ["EVALSHA", shaOf.runCommand, "0", ...command] : command };
    }
  };
  const load = async (source: string) => {
    const digest = sha(source);
    known.add(digest);
    const before = loaded.get(digest);
    if (before !== undefined) return before;
    const rewritten = rewriteScript(source);
    await real.send([["SCRIPT", "LOAD", rewritten]]);
    loaded.set(digest, sha(rewritten));
    return sha(rewritten);
  };
  const answerScript = async (what: string, args: readonly string[]) => {
    if (what === "EXISTS") return reply(args.map((digest) => (known.has(digest) ? 1 : 0)));
    if (what !== "LOAD") return ok;
    await load(args[0] ?? "");
    return reply(sha(args[0] ?? ""));
  };
  // Each process walks the keys in an order of its own, as Redis' hash tables do: a cursor means nothing to another one.
  const scan = async ([cursor = "0", ...options]: readonly string[]) => {
    const option = (wanted: string) => options[options.findIndex((word) => word.toUpperCase() === wanted) + 1];
    const [answer] = await real.send([["KEYS", option("MATCH") ?? "*"]]);
    const place = (key: string) => Number.parseInt(sha(`${run} ${key}`).slice(0, 12), 16);
    const keys = (answer === undefined ? [] : (decode(answer) as string[])).map((key) => ({ key, at: place(key) }));
    const left = keys.filter(({ at }) => at > Number(cursor)).sort((a, b) => a.at - b.at);
    const page = left.slice(0, keysPerPage);
    const last = page.at(-1);
    const next = last === undefined || left.length <= keysPerPage ? "0" : String(last.at);
    return reply([next, page.map(({ key }) => key)]);
  };

  const execute = async (commands: readonly string[][]): Promise<Effects> => {
    const translated: Awaited<ReturnType<typeof translate>>[] = [];
    for (const command of commands) translated.push(await translate(command));
    const sent = translated.flatMap((each) => ("send" in each ? [each.send] : []));
    if (sent.length === 0)
      return {
        replies: translated.flatMap((each) => ("answer" in each ? [each.answer] : [])),
        messages: [],
        woken: [],
      };
    const before = preamble();
    const around = full ? 1 : 0;
    const raw = await real.send([...before, ...lowMemory(sent), ["EVALSHA", shaOf.takeNotes, "0"]]);
    const answers = raw.slice(before.length + around, raw.length - 1 - around);
    const notes = decode(raw.at(-1) ?? reply([])) as string[];
    nextExpiry = Number(notes[0] ?? 0);
    let index = 0;
    const replies = translated.map((each) => ("answer" in each ? each.answer : (answers[index++] ?? ok)));
    return { replies, ...readNotes(notes.slice(1)) };
  };

  const reset = async () => {
    await real.send([["FLUSHALL"], ["SET", own.run, runId()], ["SET", own.clock, String(micros())]]);
    nextExpiry = 0;
  };
  const takeOver = () => {
    run += 1;
    known = new Set();
  };
  await reset();

  return {
    execute,
    async pop(keys) {
      const before = preamble();
      const raw = await real.send([...before, ["EVALSHA", shaOf.popFirst, String(keys.length), ...keys]]);
      const answer = raw.at(-1) ?? reply(null);
      return decode(answer) === null ? undefined : answer;
    },
    setClock(ms) {
      offsetMs = ms;
    },
    get offsetMs() {
      return offsetMs;
    },
    setFull(value) {
      full = value;
    },
    restart() {
      takeOver();
      forked = false;
    },
    async fork() {
      await real.send([["SELECT", "1"], ["FLUSHDB"], ["SELECT", "0"], ["EVALSHA", shaOf.copyKeys, "0", "1"]]);
      forked = true;
    },
    async failOver() {
      if (!forked) return false;
      forked = false;
      takeOver();
      await real.send([["FLUSHDB"], ["SWAPDB", "0", "1"], ["SET", own.run, runId()]]);
      nextExpiry = 1;
      return true;
    },
    flushScripts() {
      known = new Set();
    },
    async flushAll() {
      forked = false;
      await reset();
    },
  };
}

/** So few that a handful of users fills several pages. */
const keysPerPage = 9;

function readNotes(notes: readonly string[]): Pick<Effects, "messages" | "woken"> {
  const messages: Effects["messages"] = [];
  const woken: string[] = [];
  for (let index = 0; index < notes.length; index += 3) {
    const [kind, key = "", message = ""] = notes.slice(index, index + 3);
    if (kind === "message") messages.push({ channel: key, message });
    else woken.push(key);
  }
  return { messages, woken };
}

function infoOf(runId: string, now: number): Value {
  return [
    "# Server",
    "redis_version:7.2.5",
    `run_id:${runId}`,
    `server_time_usec:${now}`,
    "loading:0",
    "role:master",
    "cluster_enabled:0",
    "maxmemory_policy:noeviction",
    "aof_enabled:1",
    "connected_slaves:0",
    "",
  ].join("\r\n");
}
