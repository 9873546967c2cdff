import { isDeepStrictEqual } from "node:util";
import type { Definitions } from "kindling";
import { type ExtraPart, type OrganizationPart, organizationParts, type Profile } from "kindling/contract";
import { ThrottledError } from "../errors.ts";
import { concernsOne } from "../kinde/answers.ts";
import type { Priority } from "../kinde/call-budget.ts";
import { fetchOrganization, type OrganizationDetails } from "../kinde/fetch-organization.ts";
import { fewAtOnce, mostAtOnce } from "../kinde/few-at-once.ts";
import type { CallOptions, ManagementApi } from "../kinde/management-api.ts";
import type { Ledger } from "../redis/ledger.ts";
import type { OrganizationEntry, OrganizationStore } from "../redis/organization-store.ts";

/** Properties and agreements of organizations, fetched once for all members. */
export interface Organizations {
  /**
   * Adds the given parts to the user's memberships.
   *
   * @param fetchedAt Start of the user's fetch, in milliseconds since the epoch
   */
  addTo(profile: Profile, parts: ReadonlySet<ExtraPart>, fetchedAt: number, call: CallOptions): Promise<Profile>;
  /**
   * Fetches those of the organizations again that are too old, so that a change reaches all their members. Skips a few that
   * Kinde does not answer about, and all for a minute or more while it limits these calls: they must not end a sweep, and the
   * refreshes of their members report them.
   */
  recheck(codes: Iterable<string>, call: CallOptions): Promise<void>;
  /**
   * Makes sure that refreshes from now on fetch the organization again: something about it changed. Once the settle time is
   * over, they do so once more, because Kinde can have answered from a copy that lags.
   *
   * @param changedAt When the change was acknowledged, in milliseconds since the epoch. Default: now
   */
  forget(code: string, changedAt?: number): Promise<void>;
  /**
   * Fetches the organization again, at once and when the settle time is over, because an event can be about it. Only a
   * difference concerns its members. Further events within a settle time share its fetches.
   *
   * @param changedAt As for {@link Organizations.forget}
   */
  doubt(code: string, changedAt: number | undefined, call: CallOptions): Promise<void>;
}

/** Dependencies of {@link createOrganizations}. */
export interface OrganizationsOptions {
  api: ManagementApi;
  store: OrganizationStore;
  definitions: Pick<Definitions, "flags" | "needs" | "mayNeed">;
  /** Draws tickets. Its clock is Redis', the one that records are stamped with. */
  ledger: Pick<Ledger, "begin" | "clock">;
  /** Age at which an organization is fetched again, in milliseconds. */
  maxAgeMs: number;
  /** How long Kinde can answer with the state before a change, in milliseconds. */
  settleMs: number;
  /** Called when a fetch finds a change, before the change is stored. Kinde sends no event for most of them. */
  onChange: (code: string) => Promise<void>;
}

type Begun = Pick<OrganizationEntry, "ticket" | "fetchedAt">;

/** A fetch that is running. It is aborted when every caller that waits for it has been aborted. */
interface Flight {
  /** What it fetches. */
  parts: readonly OrganizationPart[];
  begun: Promise<Begun>;
  /** Ticket of the entry it replaces; 0 without one. */
  basis: number;
  priority: Priority;
  ended: Promise<unknown>;
  isAborted(): boolean;
  wait(signal: AbortSignal): Promise<OrganizationEntry>;
}

/** How long these calls wait for the call budget, in milliseconds: like those for a user's memberships. */
const patienceMs = 30_000;
/** How long rechecks pause at least after Kinde limited their calls, in milliseconds. */
const limitedMs = 60_000;
/** Organizations that one recheck skips. More of them are an outage. */
const mostSkipped = 10;

/** Creates the organizations over a store that all processes share. */
export function createOrganizations(options: OrganizationsOptions): Organizations {
  const { store, definitions, ledger, maxAgeMs, settleMs } = options;
  // Grows when a flag function reads a part that its definition does not declare.
  const asked = new Set(organizationParts.filter((part) => definitions.needs.has(part)));
  const readable = organizationParts.filter(definitions.mayNeed);
  const flights = new Map<string, Flight>();
  /** When rechecks go on after Kinde limited their calls, as `performance.now()`. */
  let recheckAt = 0;

  // What an entry holds has been asked for too: by another process, or by this one before it restarted.
  const askedOf = (entry: OrganizationEntry | undefined) =>
    readable.filter((part) => asked.has(part) || entry?.[memberOf[part]] !== undefined);

  const begin = async (code: string): Promise<Begun> => {
    const { ticket, at } = await ledger.begin(`organization:${code}`);
    return { ticket, fetchedAt: Math.floor(at / 1000) };
  };
  const fetchAnew = async (
    code: string,
    { begun, parts }: Pick<Flight, "begun" | "parts">,
    before: OrganizationEntry | undefined,
    call: CallOptions,
  ) => {
    const stamp = await begun;
    const details = await fetchOrganization(options.api, code, new Set(parts), { ...call, patienceMs });
    // No later than it can be, unless Redis' clock stepped back since: then the settle time begins again.
    const settledAt =
      before?.settledAt === undefined ? undefined : Math.min(before.settledAt, stamp.fetchedAt + settleMs);
    const isSettled = settledAt === undefined || stamp.fetchedAt >= settledAt;
    const doubted = before?.doubted === true;
    const entry = { ...stamp, ...details, ...(!isSettled && { settledAt, ...(doubted && { doubted }) }) };
    // After a change that concerns all members, those whose flags were derived within the settle time are confirmed.
    const isNews = before !== undefined && (settledAt === undefined || doubted) && differs(before, entry);
    // Reported before it is stored: after a crash in between, the next fetch finds the change again.
    if (isNews) await options.onChange(code);
    await store.write(code, entry);
    return entry;
  };
  const begins = ({ begun }: Flight, since: number) =>
    begun.then(
      ({ fetchedAt }) => fetchedAt >= since,
      () => false,
    );
  // Members that are refreshed together share one fetch, but only one that is recent enough for each of them, has all the parts
  // that they read, and waits for the call budget no longer than they would.
  const fetchShared = async (
    code: string,
    before: OrganizationEntry | undefined,
    since: number,
    { priority, signal }: CallOptions,
  ) => {
    const basis = before?.ticket ?? 0;
    const parts = askedOf(before);
    const running = flights.get(code);
    // Another basis: the organization was stored or forgotten since, and the running fetch can be older than that.
    const fits =
      running?.basis === basis &&
      parts.every((part) => running.parts.includes(part)) &&
      (running.priority === priority || running.priority === "webhook") &&
      (await begins(running, since));
    if (fits && !running.isAborted()) return running.wait(signal);
    const fetch = { begun: begin(code), parts };
    const flight: Flight = {
      ...fetch,
      basis,
      priority,
      ...shareTask((own) => fetchAnew(code, fetch, before, { priority, signal: own })),
    };
    flights.set(code, flight);
    void flight.ended.then(() => {
      if (flights.get(code) === flight) flights.delete(code);
    });
    return flight.wait(signal);
  };
  const isUsable = (entry: OrganizationEntry, since: number, latest: number) =>
    entry.fetchedAt >= since &&
    entry.fetchedAt <= latest &&
    [...asked].every((part) => entry[memberOf[part]] !== undefined);
  // Once a change has settled, what was fetched before that is no answer.
  const neededSince = (entry: OrganizationEntry | undefined, since: number, now: number) =>
    entry?.settledAt !== undefined && entry.settledAt <= now ? Math.max(since, entry.settledAt) : since;
  /** Finds the entries, a few at a time. The outcomes have the order of the codes. */
  const find = async function* (codes: readonly string[], since: number, now: number, call: CallOptions) {
    for (let at = 0; at < codes.length; at += mostAtOnce) {
      const some = codes.slice(at, at + mostAtOnce);
      const stored = await store.readMany(some);
      // A fetch ahead of the clock was stamped before the clock stepped back: it tells nothing. Most are no later than `now`.
      const latest = stored.some((entry) => entry !== undefined && entry.fetchedAt > now) ? await ledger.clock() : now;
      yield* await Promise.allSettled(
        some.map(async (code, index): Promise<OrganizationDetails> => {
          const entry = stored[index];
          if (askedOf(entry).length === 0) return {};
          const needed = neededSince(entry, since, now);
          return entry !== undefined && isUsable(entry, needed, latest)
            ? entry
            : fetchShared(code, entry, needed, call);
        }),
      );
    }
  };

  const recheck: Organizations["recheck"] = async (codes, call) => {
    if (readable.length === 0 || performance.now() < recheckAt) return;
    const all = [...new Set(codes)];
    const now = await ledger.clock();
    let skipped = 0;
    for await (const outcome of find(all, now - maxAgeMs, now, call)) {
      if (outcome.status === "fulfilled") continue;
      // The limit of their route stops no other call of the sweep. Each further page would wait for it again.
      if (outcome.reason instanceof ThrottledError && outcome.reason.scope === "one") {
        recheckAt = performance.now() + Math.max(limitedMs, outcome.reason.retryAfterMs);
        return;
      }
      skipped += 1;
      if (!concernsOne(outcome.reason) || skipped > mostSkipped) throw outcome.reason;
    }
  };

  return {
    async addTo(profile, parts, fetchedAt, call) {
      const wanted = organizationParts.filter((part) => parts.has(part));
      if (wanted.length === 0) return profile;
      for (const part of wanted) asked.add(part);
      const since = isAgeLimited(definitions) ? fetchedAt : fetchedAt - maxAgeMs;
      const codes = profile.organizations.map(({ code }) => code);
      const details: OrganizationDetails[] = [];
      for await (const outcome of find(codes, since, fetchedAt, call)) {
        if (outcome.status === "rejected") throw outcome.reason;
        details.push(outcome.value);
      }
      return withDetails(profile, details, wanted);
    },
    recheck,
    async forget(code, changedAt) {
      const { ticket, fetchedAt: now } = await begin(code);
      await store.write(code, { ticket, fetchedAt: 0, settledAt: (changedAt ?? now) + settleMs });
    },
    async doubt(code, changedAt, call) {
      if (readable.length === 0) return;
      const [before] = await store.readMany([code]);
      const { ticket, fetchedAt: now } = await begin(code);
      const { settledAt = 0, fetchedAt = 0 } = before ?? {};
      // Fetched because of an event before this one: the fetch after the settle time is for both.
      const isShared = settledAt > now && fetchedAt > now - settleMs && fetchedAt <= now;
      const since = isShared ? fetchedAt : 0;
      const entry = { ...before, ticket, fetchedAt: since, settledAt: (changedAt ?? now) + settleMs, doubted: true };
      await store.write(code, entry);
      if (!isShared) await recheck([code], call);
    },
  };
}

/** Runs a task that several callers wait for. It is aborted when all of them have left. */
function shareTask<Result>(task: (signal: AbortSignal) => Promise<Result>) {
  const controller = new AbortController();
  const result = task(controller.signal);
  let waiting = 0;
  return {
    ended: result.then(
      () => undefined,
      () => undefined,
    ),
    isAborted: () => controller.signal.aborted,
    wait: (signal: AbortSignal) =>
      new Promise<Result>((resolve, reject) => {
        waiting += 1;
        const leave = () => {
          reject(signal.reason);
          waiting -= 1;
          if (waiting === 0) controller.abort(signal.reason);
        };
        if (signal.aborted) return leave();
        signal.addEventListener("abort", leave);
        const end = () => signal.removeEventListener("abort", leave);
        result.then(resolve, reject).finally(end);
      }),
  };
}

/** Adds the parts to the user's memberships straight from Kinde, for comparisons that must not trust the store. */
export async function addLiveOrganizations(
  api: ManagementApi,
  profile: Profile,
  parts: ReadonlySet<ExtraPart>,
  call: CallOptions,
): Promise<Profile> {
  const wanted = organizationParts.filter((part) => parts.has(part));
  if (wanted.length === 0) return profile;
  const details = await fewAtOnce(profile.organizations, ({ code }) =>
    fetchOrganization(api, code, new Set(wanted), { ...call, patienceMs }),
  );
  return withDetails(profile, details, wanted);
}

const memberOf = {
  organizationProperties: "properties",
  organizationAgreements: "agreements",
} as const satisfies Record<OrganizationPart, keyof OrganizationDetails>;

function withDetails(
  profile: Profile,
  details: readonly OrganizationDetails[],
  parts: readonly OrganizationPart[],
): Profile {
  const organizations = profile.organizations.map((membership, index) => {
    const known = parts.map((part) => [memberOf[part], details[index]?.[memberOf[part]]]);
    return { ...membership, ...Object.fromEntries(known) };
  });
  return { ...profile, organizations };
}

// A part that the earlier entry does not have says nothing: nothing was derived from it, or it was forgotten.
function differs(before: OrganizationDetails, after: OrganizationDetails): boolean {
  return Object.values(memberOf).some(
    (member) => before[member] !== undefined && !isDeepStrictEqual(before[member], after[member]),
  );
}

/** Returns whether a flag that can read these parts limits its age: then they must be as recent as the record. */
function isAgeLimited({ flags }: Pick<Definitions, "flags">): boolean {
  return Object.values(flags).some(
    ({ freshness, needs, opaque }) =>
      freshness !== undefined && (opaque || organizationParts.some((part) => needs.includes(part))),
  );
}
