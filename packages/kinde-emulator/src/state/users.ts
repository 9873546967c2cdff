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
  const created = createSortedIds();
  const byIdentity = new Map<string, string>();
  const history = createHistory();
  let count = population.size;

  const get = (id: string): UserState | undefined => {
    const changed = overlay.get(id);
    if (changed !== undefined) return changed ?? undefined;
    const index = population.indexOf(id);
    return index === undefined ? undefined : population.userAt(index, id);
  };

  const replace = (id: string, before: UserState | undefined, after: UserState | null) => {
    history.changed(id, before);
    if (!overlay.has(id) && population.indexOf(id) === undefined) created.add(id);
    overlay.set(id, after);
  };

  const stateAt = (id: string, asOf: number | undefined): UserState | undefined => {
    const past = asOf === undefined ? undefined : history.since(id, asOf);
    if (past) return past.before;
    return get(id);
  };

  function* walk({ after, reverse = false, asOf, mayMatch }: Walk = {}): Generator<UserState> {
    for (const { id, index } of entries(population, created, after, reverse)) {
      const untouched = index >= 0 && !overlay.has(id);
      if (untouched && mayMatch && !mayMatch(index)) continue;
      const user = untouched ? population.userAt(index, id) : stateAt(id, asOf);
      if (user) yield user;
    }
  }

  function* ids(): Generator<string> {
    for (const { id } of entries(population, created, undefined, false)) if (overlay.get(id) !== null) yield id;
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

/** Merges two sorted lists: the population, by index, and the created ids, with index -1. */
function* entries(
  population: Population,
  created: ReturnType<typeof createSortedIds>,
  after: string | undefined,
  reverse: boolean,
): Generator<Entry> {
  const step = reverse ? -1 : 1;
  let seeded = startOf(
    population.size,
    after,
    reverse,
    population.firstAfter,
    (id) => population.indexOf(id) !== undefined,
  );
  let extra = startOf(created.size(), after, reverse, created.firstAfter, created.has);
  const at = (index: number) => (index >= 0 && index < population.size ? population.idAt(index) : undefined);
  let left = at(seeded);
  let right = created.at(extra);
  while (left !== undefined || right !== undefined) {
    if (left !== undefined && (right === undefined || left < right !== reverse)) {
      yield { id: left, index: seeded };
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
