import type { Emulator, LogEntry } from "kinde-emulator";
import { z } from "zod";
import type { Store } from "../../src/store.ts";
import type { Random } from "../campaign/sim/random.ts";
import { markerProperty } from "./life.ts";

/**
 * Watches promises while everything runs: an acknowledged event is reflected, or its user is in the ledger. A sweep
 * cannot hide a lost event, because the watch looks within a second.
 */
export interface Ledgerwatch {
  /** Must be called before anything else. */
  begin(kinde: Emulator["kinde"], store: Store): void;
  /** Receives the emulator's log. */
  onEvent(entry: LogEntry): void;
  /** Notes the events that `change` fires about a user, and the marker that their refresh must show. */
  expectEvents(userId: string, marker: number | undefined, change: () => void): void;
  /** Notes the events of a sign-up. Returns the new user's id. */
  expectSignUp(create: () => string): string;
  /** Checks that a write that has returned is visible. */
  judgeWrite(userId: string, marker: number): Promise<void>;
  /** Checks all acknowledged events that no record reflects yet, and some other users. */
  check(): Promise<void>;
  /** Events fired, acknowledged and lost on purpose. */
  readonly events: number;
  readonly acknowledged: number;
  readonly lost: number;
  /** Users with an acknowledged event that no record reflects yet. */
  readonly outstanding: number;
  /** Checks that Redis answered, and that it did not. */
  readonly checks: { made: number; skipped: number };
}

/** Options for {@link createLedgerwatch}. */
export interface LedgerwatchOptions {
  random: Random;
  /** Users of the tenant, by slot. */
  ids: readonly string[];
  fail: (promise: string, detail: string) => void;
}

interface Expected {
  userId: string;
  /** When the event was fired, in milliseconds since the epoch. */
  at: number;
  marker: number | undefined;
  /** The event says that the user is deleted. */
  gone: boolean;
}

const perRead = 500;
/** Users without a new event, and deleted ones, that each check looks at. */
const bystanders = 50;
/** Deleted users that are remembered. */
const mostBuried = 2_000;

const recordSchema = z.string().transform((text, context) => {
  const shape = z.object({
    status: z.enum(["present", "deleted"]),
    flags: z.looseObject({ region: z.string().nullable() }),
    fetchedAt: z.number(),
    accountAt: z.number().exactOptional(),
  });
  const parsed = shape.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  context.addIssue({ code: "custom", message: "not a record" });
  return z.NEVER;
});
type StoredRecord = z.infer<typeof recordSchema>;

interface State {
  record: StoredRecord | undefined;
  inLedger: boolean;
  /** A confirming refresh is due. */
  confirming: boolean;
}

/** Creates the watch. */
export function createLedgerwatch({ random, ids, fail }: LedgerwatchOptions): Ledgerwatch {
  const fired = new Map<string, Expected>();
  const owed = new Map<string, Expected>();
  const buried: string[] = [];
  const checks = { made: 0, skipped: 0 };
  const counts = { events: 0, acknowledged: 0, lost: 0 };
  let firing: string[] | undefined;
  let watched: { kinde: Emulator["kinde"]; store: Store } | undefined;
  const world = () => {
    if (watched === undefined) throw new Error("The watch has not begun.");
    return watched;
  };

  const expect = (make: () => Expected) => {
    const eventIds: string[] = [];
    firing = eventIds;
    const expected = make();
    firing = undefined;
    for (const eventId of eventIds) fired.set(eventId, expected);
    return expected.userId;
  };
  const acknowledge = (expected: Expected) => {
    const before = owed.get(expected.userId);
    owed.set(expected.userId, {
      userId: expected.userId,
      at: Math.max(expected.at, before?.at ?? 0),
      marker: Math.max(expected.marker ?? 0, before?.marker ?? 0),
      gone: expected.gone || (before?.gone ?? false),
    });
  };
  const settle = (expected: Expected) => {
    if (owed.get(expected.userId) === expected) owed.delete(expected.userId);
  };
  /** Reports a broken promise once. */
  const broken = (expected: Expected, promise: string, detail: string) => {
    fail(promise, detail);
    settle(expected);
  };

  const judge = (expected: Expected, { record, inLedger, confirming }: State) => {
    const { userId, at, marker = 0, gone } = expected;
    if (inLedger) return;
    const user = world().kinde.user(userId);
    if (user === undefined) {
      if (gone && record?.status === "present")
        fail("acknowledged means kept", `${userId} was deleted, has a record and is not in the ledger`);
      if (gone) buried.push(userId);
      if (buried.length > mostBuried) buried.shift();
      return settle(expected);
    }
    if (record === undefined)
      return broken(expected, "acknowledged means kept", `${userId} has no record and is not in the ledger`);
    if (record.status === "deleted")
      return broken(expected, "only the deleted are buried", `${userId} exists and has a tombstone`);
    const fetchedAt = record.accountAt ?? record.fetchedAt;
    // Whole milliseconds of one clock.
    if (fetchedAt < at - 1)
      return broken(
        expected,
        "acknowledged means kept",
        `${userId} was last fetched ${at - fetchedAt} ms before its event, and is not in the ledger`,
      );
    const wanted = Math.min(marker, markerOf(user.properties[markerProperty]));
    if (markerOf(record.flags.region) >= wanted) return settle(expected);
    // Kinde can have answered from a copy that lags. Then a confirming refresh must be due.
    if (!confirming)
      broken(expected, "no lost update", `${userId} shows ${record.flags.region} instead of m${wanted} for good`);
  };

  const judgeBystander = (userId: string, { record }: State) => {
    const exists = world().kinde.user(userId) !== undefined;
    if (exists && record?.status === "deleted")
      fail("only the deleted are buried", `${userId} exists and has a tombstone`);
    if (!exists && buried.includes(userId) && record?.status === "present")
      fail("no revival", `${userId} was deleted and has a record again`);
  };

  const some = (list: readonly string[]) =>
    list.length === 0 ? [] : Array.from({ length: bystanders }, () => random.pick(list));

  return {
    begin(kinde, store) {
      watched = { kinde, store };
    },
    onEvent(entry) {
      if (entry.type === "event") {
        counts.events += 1;
        firing?.push(entry.eventId);
      }
      if (entry.type === "attempt" && entry.status === 200) {
        const expected = fired.get(entry.eventId);
        if (expected !== undefined) acknowledge(expected);
      }
      if (entry.type === "delivery") {
        if (entry.state === "delivered") counts.acknowledged += 1;
        if (entry.state === "lost") counts.lost += 1;
        if (entry.state === "failed")
          fail("Kinde delivers in the end", `No attempt to deliver ${entry.eventId} worked`);
        fired.delete(entry.eventId);
      }
    },
    expectEvents(userId, marker, change) {
      expect(() => {
        const at = Date.now();
        change();
        return { userId, at, marker, gone: world().kinde.user(userId) === undefined };
      });
    },
    expectSignUp: (create) => expect(() => ({ at: Date.now(), userId: create(), marker: undefined, gone: false })),
    async judgeWrite(userId, marker) {
      const [state] = (await readStates(world().store, [userId])) ?? [];
      if (state?.record === undefined || world().kinde.user(userId) === undefined) return;
      if (markerOf(state.record.flags.region) < marker)
        fail("read your writes", `${userId} shows ${state.record.flags.region} after m${marker} was written`);
    },
    async check() {
      const expected = [...owed.values()];
      const asked = [...expected.map(({ userId }) => userId), ...some(ids), ...some(buried)];
      for (let from = 0; from < asked.length; from += perRead) {
        const states = await readStates(world().store, asked.slice(from, from + perRead));
        if (states === undefined) checks.skipped += 1;
        else checks.made += 1;
        for (const [index, state] of states?.entries() ?? []) {
          const one = expected[from + index];
          if (one !== undefined) judge(one, state);
          else judgeBystander(asked[from + index] ?? "", state);
        }
      }
    },
    get events() {
      return counts.events;
    },
    get acknowledged() {
      return counts.acknowledged;
    },
    get lost() {
      return counts.lost;
    },
    get outstanding() {
      return owed.size;
    },
    checks,
  };
}

/** Returns the number of a marker, 0 for any other value. */
function markerOf(value: string | null | undefined): number {
  return Number(/^m(\d+)$/.exec(value ?? "")?.[1] ?? 0);
}

/** Reads users in one transaction. Returns `undefined` if Redis does not answer. */
async function readStates({ publicRedis, keys }: Store, ids: readonly string[]): Promise<State[] | undefined> {
  const replies = await publicRedis
    .multi()
    .zmscore(keys.ledger, ...ids)
    .zmscore(keys.ledgerPart("confirm"), ...ids)
    .mget(...ids.map((id) => keys.flags(id)))
    .exec()
    .catch(() => null);
  if (replies === null) return undefined;
  const [outstanding, due, texts] = z.array(z.array(z.string().nullable())).parse(replies.map(([, reply]) => reply));
  return ids.map((_, index) => ({
    record: texts?.[index] == null ? undefined : recordSchema.parse(texts[index]),
    inLedger: outstanding?.[index] != null,
    confirming: due?.[index] != null,
  }));
}
