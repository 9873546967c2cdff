import type { ReadStatus } from "../reader/types.ts";
import { isShallow, mostLevels } from "../record.ts";

/** The service's answer for one user. */
export interface ServiceAnswer {
  flags: Readonly<Record<string, unknown>>;
  status: ReadStatus;
  source: "record" | "claims" | "defaults";
  fetchedAt: number | null;
  age: number | null;
  denied: readonly string[];
  complete?: boolean;
  organization?: string | null;
}

/** Levels that an answer adds around a flag's value: itself and `flags`. */
const levelsOfAnswer = 2;

const statuses: readonly unknown[] = ["present", "missing", "deleted", "invalid", "unavailable"];
const sources: readonly unknown[] = ["record", "claims", "defaults"];

/** Parses an answer; returns `undefined` if it is not a valid one. Unknown members are ignored. */
export function parseAnswer(value: unknown): ServiceAnswer | undefined {
  if (!isObject(value)) return undefined;
  const { flags, status, source, fetchedAt, age, denied, complete, organization } = value;
  const valid =
    isObject(flags) &&
    statuses.includes(status) &&
    sources.includes(source) &&
    isTime(fetchedAt) &&
    isTime(age) &&
    (status !== "present" || typeof age === "number") &&
    Array.isArray(denied) &&
    (complete === undefined || typeof complete === "boolean") &&
    (organization === undefined || organization === null || typeof organization === "string") &&
    isShallow(value, mostLevels + levelsOfAnswer);
  return valid ? (value as unknown as ServiceAnswer) : undefined;
}

/** Returns whether a value is an object other than an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTime(value: unknown): boolean {
  return value === null || Number.isFinite(value);
}
