import { createHistory } from "./history.ts";
import type { Population } from "./population.ts";
import { createSortedIds } from "./sorted-ids.ts";
import type { IdentityState, UserState } from "./user-state.ts";

/** Options for iterating over users in id order. */
export interface Walk {
  /** Starts after this id. */
  after?: string | undefined;
  reverse?: boolean;
  /** Returns users as they were at this time (`performance.now()`). */
  asOf?: number | undefined;
  /** Returns false to skip an unchanged seeded user, before it is computed. */
  mayMatch?: (index: number) => boolean;
  /** Of the seeded users, only those at these ascending indexes and those that have changed. Default: all. */
  among?: readonly number[] | undefined;
}

/** All users: the seeded population and an overlay of created, changed and deleted users. */
export interface Users {
  readonly count: number;
  get(id: string): UserState | undefined;
  /** Returns the user as of a time (`performance.now()`). */
  at(id: string, asOf: number): UserState | undefined;
  put(user: UserState): void;
  remove(id: string): void;
  walk(walk?: Walk): Generator<UserState>;
  ids(): Generator<string>;
  /** Finds a user by email address, username or phone number. Names at a connection are not unique. */
  findByIdentity(identity: string): UserState | undefined;
}

export function createUsers(population: Population): Users {
  const overlay = new Map<string, UserState | null>();
  const changed = new Set<number>();
  const created = createSortedIds();
  const byIdentity = new Map<string, string>();
  const history = createHistory();
  let count = population.size;

  const get = (id: string): UserState | undefined => {
    const current = overlay.get(id);
    if (current !== undefined) return current ?? undefined;
    const index = population.indexOf(id);
    return index === undefined ? undefined : population.userAt(index, id);
  };

  const replace = (id: string, before: UserState | undefined, after: UserState | null) => {
    history.changed(id, before);
    if (!overlay.has(id)) {
      const index = population.indexOf(id);
      if (index === undefined) created.add(id);
      else changed.add(index);
    }
    overlay.set(id, after);
  };

  const stateAt = (id: string, asOf: number | undefined): UserState | undefined => {
    const past = asOf === undefined ? undefined : history.since(id, asOf);
    if (past) return past.before;
    return get(id);
  };

  function* walk({ after, reverse = false, asOf, mayMatch, among }: Walk = {}): Generator<UserState> {
    const seeded = among === undefined ? allOf(population) : someOf(population, union(among, changed));
    for (const { id, index } of entries(seeded, created, after, reverse)) {
      const untouched = index >= 0 && !overlay.has(id);
      if (untouched && mayMatch && !mayMatch(index)) continue;
      const user = untouched ? population.userAt(index, id) : stateAt(id, asOf);
      if (user) yield user;
    }
  }

  function* ids(): Generator<string> {
    for (const { id } of entries(allOf(population), created, undefined, false)) if (overlay.get(id) !== null) yield id;
  }

  return {
    get count() {
      return count;
    },
    get,
    at: stateAt,
    put: (user) => {
      const before = get(user.id);
      if (!before) count += 1;
      replace(user.id, before, user);
      for (const { type, identity } of user.identities) if (isUnique(type)) byIdentity.set(identity, user.id);
    },
    remove: (id) => {
      const before = get(id);
      if (!before) return;
      count -= 1;
      replace(id, before, null);
    },
    walk,
    ids,
    findByIdentity: (identity) => {
      const index = population.indexOfIdentity(identity);
      for (const id of [byIdentity.get(identity), index === undefined ? undefined : population.idAt(index)]) {
        const user = id === undefined ? undefined : get(id);
        if (user?.identities.some((one) => one.identity === identity && isUnique(one.type))) return user;
      }
      return undefined;
    },
  };
}

const isUnique = (type: IdentityState["type"]) => type !== "social" && type !== "enterprise";

type Entry = { id: string; index: number };

/** Seeded users in id order, which is that of their indexes. */
interface Seeded {
  size: number;
  indexAt(position: number): number;
  idAt(position: number): string;
  firstAfter(id: string): number;
  has(id: string): boolean;
}

function allOf(population: Population): Seeded {
  const { size, idAt, firstAfter, indexOf } = population;
  return { size, indexAt: (position) => position, idAt, firstAfter, has: (id) => indexOf(id) !== undefined };
}

function someOf(population: Population, indexes: readonly number[]): Seeded {
  const indexAt = (position: number) => indexes[position] ?? -1;
  const firstFrom = (index: number) => {
    const position = indexes.findIndex((each) => each >= index);
    return position === -1 ? indexes.length : position;
  };
  return {
    size: indexes.length,
    indexAt,
    idAt: (position) => population.idAt(indexAt(position)),
    firstAfter: (id) => firstFrom(population.firstAfter(id)),
    has: (id) => indexes.includes(population.indexOf(id) ?? -1),
  };
}

function union(ascending: readonly number[], others: ReadonlySet<number>): readonly number[] {
  return others.size === 0 ? ascending : [...new Set([...ascending, ...others])].sort((a, b) => a - b);
}

/** Merges two sorted lists: the seeded users, by index, and the created ids, with index -1. */
function* entries(
  users: Seeded,
  created: ReturnType<typeof createSortedIds>,
  after: string | undefined,
  reverse: boolean,
): Generator<Entry> {
  const step = reverse ? -1 : 1;
  let seeded = startOf(users.size, after, reverse, users.firstAfter, users.has);
  let extra = startOf(created.size(), after, reverse, created.firstAfter, created.has);
  const at = (position: number) => (position >= 0 && position < users.size ? users.idAt(position) : undefined);
  let left = at(seeded);
  let right = created.at(extra);
  while (left !== undefined || right !== undefined) {
    if (left !== undefined && (right === undefined || left < right !== reverse)) {
      yield { id: left, index: users.indexAt(seeded) };
      seeded += step;
      left = at(seeded);
    } else if (right !== undefined) {
      yield { id: right, index: -1 };
      extra += step;
      right = created.at(extra);
    }
  }
}

function startOf(
  size: number,
  after: string | undefined,
  reverse: boolean,
  firstAfter: (id: string) => number,
  has: (id: string) => boolean,
): number {
  if (after === undefined) return reverse ? size - 1 : 0;
  const next = firstAfter(after);
  if (!reverse) return next;
  return has(after) ? next - 2 : next - 1;
}
