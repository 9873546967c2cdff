import { isDeepStrictEqual } from "node:util";
import type { KindeActions } from "kinde-emulator";
import { definitions } from "./definitions.ts";
import { prefix } from "./sim/deployment.ts";
import type { KindeCall } from "./sim/kinde.ts";
import { decode } from "./sim/resp.ts";
import type { Effects, SimulatedRedis } from "./sim/simulated-redis.ts";
import type { Actor, Timeline } from "./sim/timeline.ts";
import { expected } from "./truth.ts";

/** A broken promise. */
export interface Violation {
  /** Which promise, in a few words that do not depend on the schedule. */
  promise: string;
  detail: string;
}

/** Watches every step and remembers the first broken promise. */
export interface Watcher {
  readonly violation: Violation | undefined;
  fail(promise: string, detail: string): void;
  /** Ids of all users that Kinde ever had. */
  everyone(): Iterable<string>;
  /** Notes the state of every user in Kinde. */
  noteTruth(actions: KindeActions): void;
  /** A change that no event announces, or whose event is lost: only a sweep finds it. */
  noteSilence(): void;
  /** A change that only a refresh finds which nothing protects: any disturbance can lose it. */
  noteCrossing(): void;
  readonly silent: boolean;
  noteAcknowledged(eventId: string): void;
  readonly acknowledged: number;
  /** Redis lost writes. */
  noteLoss(): void;
  readonly lossy: boolean;
  /** Clocks stepped: times of different moments do not compare. */
  noteClockStep(): void;
  /** Something disturbs calls to Kinde or Redis so that limits can be stored late. */
  noteDisturbance(): void;
  /** Processes with other definitions write records too. */
  noteMixedReleases(): void;
  /** Kinde's copies can be behind by as much from now on, in milliseconds. */
  noteLag(ms: number): void;
  readonly lagging: boolean;
  /** A write through Kindling begins. */
  noteAttempt(userId: string): void;
  /** A write through Kindling returned: readers must see its values. `since` is when it began, in microseconds. */
  noteWrite(userId: string, tier: string, since: number): void;
  onExecuted(actor: Actor, commands: readonly string[][], effects: Effects): Promise<void>;
  onCall(call: KindeCall): void;
  onAnswer(call: KindeCall, status: number, reset: string | null): void;
  onEnd(call: KindeCall): void;
  /** Notes users that exist from the start and that nobody changes: the store is not complete without them. */
  noteBystanders(userIds: readonly string[]): void;
  /** Judges what a reader answered. */
  judgeRead(userId: string, answer: { banned: boolean; denied: readonly string[]; status: string }): void;
}

/** Options for {@link createWatcher}. */
export interface WatcherOptions {
  timeline: Timeline;
  redis: SimulatedRedis;
  callsPerMinute: () => number;
  callsAtOnce: () => number;
  denyAfterMs: number;
  settleMs: number;
}

interface Seen {
  text: string;
  ticket: number;
  status: string;
}

interface Past {
  at: number;
  flags: Record<string, unknown> | undefined;
}

/** From the moment that Kinde has a written value to the moment that it is noted, in milliseconds. */
const slowWriteMs = 6_000;

const flagsPrefix = `${prefix}:flags:{`;
const completeKey = `${prefix}:flags:complete`;

/** Creates the watcher of one schedule. */
export function createWatcher(options: WatcherOptions): Watcher {
  const { timeline, redis } = options;
  let violation: Violation | undefined;
  let silent = false;
  let lossy = false;
  let clocks = true;
  let undisturbed = true;
  let mixed = false;
  let crossed = false;
  let lagMs = 0;
  const acknowledged = new Set<string>();
  let seen = new Map<string, Seen>();
  const truth = new Map<string, Past[]>();
  const writes = new Map<string, { tiers: Set<string> }>();
  const attempted = new Set<string>();
  const bystanders: string[] = [];

  const fail = (promise: string, detail: string) => {
    violation ??= { promise, detail };
  };

  const pastOf = (userId: string) => truth.get(userId) ?? [];
  const exists = (userId: string) => pastOf(userId).at(-1)?.flags !== undefined;
  /** States that the user had at some time since then. */
  const statesSince = (userId: string, since: number) => {
    const past = pastOf(userId);
    const first = past.findLastIndex(({ at }) => at <= since);
    return past.slice(Math.max(0, first));
  };

  const judgeRecord = (userId: string, text: string | null) => {
    const before = seen.get(userId);
    if (text === before?.text) return;
    if (text === null) {
      if (before !== undefined) fail("a record stays", `The record of ${userId} is gone: ${before.text}`);
      seen.delete(userId);
      return;
    }
    const record = JSON.parse(text) as { flags: Record<string, unknown> } & Record<"status" | "schema", string> &
      Record<"ticket" | "fetchedAt", number>;
    seen.set(userId, { text, ticket: record.ticket, status: record.status });
    if (before !== undefined && record.ticket < before.ticket)
      fail("tickets never fall", `The record of ${userId} went from ${before.text} to ${text}`);
    if (before?.status === "deleted" && record.status === "present")
      fail("no revival", `The tombstone of ${userId} became ${text}`);
    if (record.status === "deleted") {
      if (exists(userId)) fail("only the deleted are buried", `${userId} exists in Kinde and has a tombstone`);
      return;
    }
    if (record.schema === definitions.schema) judgeFlags(userId, record);
  };

  const judgeFlags = (userId: string, record: { flags: Record<string, unknown>; fetchedAt: number }) => {
    const written = writes.get(userId);
    if (written !== undefined && !lossy && !written.tiers.has(String(record.flags.tier)))
      fail("read your writes", `${userId} has the tier ${record.flags.tier} after ${[...written.tiers].join(", ")}`);
    if (!clocks || mixed) return;
    const since = record.fetchedAt * 1000 - redis.offsetMs * 1000 - lagMs * 1000 - 2_000;
    // A written value stays visible for the settle time, whatever others change meanwhile.
    const statesOf = (name: string) =>
      statesSince(
        userId,
        name === "tier" && attempted.has(userId) ? since - (options.settleMs + slowWriteMs) * 1000 : since,
      );
    for (const [name, value] of Object.entries(record.flags)) {
      // Derived from several calls, so it can be of a state that never was. The next event corrects it.
      if (name === "admin") continue;
      const possible = statesOf(name).map(({ flags }) => flags?.[name]);
      if (!possible.some((each) => isDeepStrictEqual(each, value)))
        fail("no record is older than it claims", `${userId}: ${name} is ${value}, but was ${possible.join(", ")}`);
    }
  };

  // Others can be imported during the walk, or left out of its pages.
  const judgeComplete = async () => {
    const { replies } = await redis.execute([["MGET", ...bystanders.map((id) => `${flagsPrefix}${id}}`)]]);
    const records = decode(replies[0] ?? Buffer.from("*0\r\n")) as (string | null)[];
    const missing = bystanders.filter((_, index) => records[index] === null);
    if (missing.length > 0) fail("complete means that everybody is held", `Nothing is held of ${missing.join(", ")}`);
  };

  const starts: number[] = [];
  const running = new Set<KindeCall>();
  const limits = new Map<string, { from: number; until: number }>();
  const judgeCall = (call: KindeCall) => {
    if (call.path.startsWith("/oauth2/")) return;
    starts.push(timeline.now);
    running.add(call);
    while ((starts[0] ?? 0) < timeline.now - 60_000_000) starts.shift();
    if (!undisturbed || lossy || !clocks) return;
    if (starts.length > options.callsPerMinute())
      fail("the call budget is kept", `${starts.length} calls began within a minute`);
    const now = [...running].filter(({ actor }) => actor.alive);
    if (now.length > options.callsAtOnce()) fail("the call budget is kept", `${now.length} calls run at once`);
    const limit = call.user === undefined ? undefined : limits.get(call.user);
    if (limit !== undefined && timeline.now > limit.from && timeline.now < limit.until)
      fail("a limited user is left alone", `${call.path} is called although Kinde limits the user`);
  };

  return {
    get violation() {
      return violation;
    },
    fail,
    everyone: () => truth.keys(),
    noteTruth(actions) {
      const present = new Set(actions.userIds());
      for (const id of new Set([...present, ...truth.keys()])) {
        const user = present.has(id) ? actions.user(id) : undefined;
        const flags = user === undefined ? undefined : (expected(user).flags as Record<string, unknown>);
        const past = truth.get(id) ?? [];
        if (past.length > 0 && isDeepStrictEqual(past.at(-1)?.flags, flags)) continue;
        past.push({ at: timeline.now, flags });
        truth.set(id, past);
        const tier = flags?.tier;
        // Another change of the tier replaces the written one as soon as anybody sees it.
        if (typeof tier === "string") writes.get(id)?.tiers.add(tier);
      }
    },
    noteSilence() {
      silent = true;
    },
    noteCrossing() {
      crossed = true;
    },
    get silent() {
      return silent || (crossed && (!undisturbed || lagMs > 0));
    },
    noteAcknowledged(eventId) {
      acknowledged.add(eventId);
    },
    get acknowledged() {
      return acknowledged.size;
    },
    noteLoss() {
      lossy = true;
      silent = true;
      seen = new Map();
      writes.clear();
    },
    get lossy() {
      return lossy;
    },
    noteClockStep() {
      clocks = false;
    },
    noteDisturbance() {
      undisturbed = false;
    },
    noteMixedReleases() {
      mixed = true;
      silent = true;
    },
    noteLag(ms) {
      lagMs = Math.max(lagMs, ms);
    },
    get lagging() {
      return lagMs > 0;
    },
    noteAttempt(userId) {
      attempted.add(userId);
    },
    noteWrite(userId, tier, since) {
      const tiers = statesSince(userId, since).map(({ flags }) => String(flags?.tier));
      // The state before the write does not count.
      writes.set(userId, { tiers: new Set([tier, ...tiers.slice(1)]) });
      const record = seen.get(userId);
      if (record?.status === "present") judgeFlags(userId, JSON.parse(record.text));
    },
    async onExecuted(_actor, commands) {
      const userIds = new Set<string>();
      let marked = false;
      for (const command of commands) {
        if (command[0]?.toUpperCase() === "SET" && command[1] === completeKey) marked = true;
        if (!/^(eval|evalsha|set|del)$/i.test(command[0] ?? "")) continue;
        for (const word of command.slice(1)) {
          if (word.startsWith(flagsPrefix) && word.endsWith("}")) userIds.add(word.slice(flagsPrefix.length, -1));
        }
      }
      if (marked) await judgeComplete();
      if (userIds.size === 0) return;
      const ids = [...userIds];
      const { replies } = await redis.execute([["MGET", ...ids.map((id) => `${flagsPrefix}${id}}`)]]);
      const texts = decode(replies[0] ?? Buffer.from("*0\r\n")) as (string | null)[];
      for (const [index, id] of ids.entries()) judgeRecord(id, texts[index] ?? null);
    },
    onCall: judgeCall,
    onAnswer(call, status, reset) {
      if (status !== 429 || call.user === undefined) return;
      // The answer takes its time, and so does the note of it.
      const until = timeline.now + Number(reset) * 1_000_000 - 100_000;
      limits.set(call.user, { from: timeline.now + 4_000_000, until });
    },
    onEnd(call) {
      running.delete(call);
    },
    noteBystanders(userIds) {
      bystanders.push(...userIds);
    },
    judgeRead(userId, { banned, denied, status }) {
      if (banned) return;
      if (status !== "present" || denied.includes("banned")) {
        fail("deny means deny", `${userId}: banned is false although the answer is ${status}`);
        return;
      }
      if (!clocks || mixed) return;
      const states = statesSince(userId, timeline.now - (options.denyAfterMs + lagMs + 1_500) * 1000);
      if (states.every(({ flags }) => flags?.banned !== false))
        fail("deny means deny", `${userId} is answered as not banned long after the ban`);
    },
  };
}
