import type { RedisClient } from "./client.ts";
import { type BufferedCounters, bufferCounters, createCounters } from "./counters.ts";

/** Why a user is refreshed. */
export type RefreshCause =
  | "event"
  | "fanout"
  | "write"
  | "request"
  | "confirm"
  | "sweep"
  | "audit"
  | "absence"
  | "reprocess"
  | "other";

/** Counts what the fleet does. Labels come from fixed sets: routes, codes, causes and the names of flags. */
export interface Activity {
  /** Counts an answer to an HTTP request. The route is a pattern such as `POST /v1/users/{id}/properties`. */
  countAnswer(route: string, status: number): void;
  /** Counts a call to Kinde by its status; `failed` if there was no answer. */
  countCall(route: string, status: number | "failed"): void;
  /** Counts a refresh by its outcome, or by the code of its error. */
  countRefresh(cause: RefreshCause, outcome: string): void;
  /** Counts a record that was committed with the default of this flag, because the value in Kinde does not fit. */
  countMisfit(flag: string): void;
  /** Reads the counts of the whole fleet. */
  read(): Promise<ActivityCounts>;
  /** Writes what is not written yet. */
  close(): Promise<void>;
}

/** Counts since the store was created, with their labels. */
export interface ActivityCounts {
  answers: { route: string; status: string; count: number }[];
  calls: { route: string; status: string; count: number }[];
  refreshes: { cause: string; outcome: string; count: number }[];
  misfits: { flag: string; count: number }[];
}

/** Opens the counts in the hash `key`. */
export function createActivity(redis: RedisClient, key: string, onError: (error: unknown) => void): Activity {
  const { count, read, close }: BufferedCounters = bufferCounters(createCounters(redis, key), onError);
  return {
    countAnswer: (route, status) => count(`answer:${route}:${status}`),
    countCall: (route, status) => count(`call:${route}:${status}`),
    countRefresh: (cause, outcome) => count(`refresh:${cause}:${outcome}`),
    countMisfit: (flag) => count(`misfit:${flag}`),
    read: async () => group(await read()),
    close,
  };
}

function group(counts: Readonly<Record<string, number>>): ActivityCounts {
  const grouped: ActivityCounts = { answers: [], calls: [], refreshes: [], misfits: [] };
  for (const [name, count] of Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [, family = "", labels = ""] = /^(\w+):(.*)$/s.exec(name) ?? [];
    const colon = labels.lastIndexOf(":");
    const [first, last] = [labels.slice(0, Math.max(0, colon)), labels.slice(colon + 1)];
    if (family === "answer") grouped.answers.push({ route: first, status: last, count });
    if (family === "call") grouped.calls.push({ route: first, status: last, count });
    if (family === "refresh") grouped.refreshes.push({ cause: first, outcome: last, count });
    if (family === "misfit") grouped.misfits.push({ flag: labels, count });
  }
  return grouped;
}
