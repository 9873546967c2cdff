import { z } from "zod";
import { KindeError } from "../errors.ts";

/**
 * Schema of an answer that holds a list, under one of the names that the shape gives in front. Kinde's API description marks
 * every list optional, so an answer of Kinde's own, which has a `code`, may leave an empty one out. Another one without a
 * list, such as a gateway's `{}`, must not pass for "none".
 */
export function listAnswer<Shape extends z.ZodRawShape>(names: readonly (keyof Shape & string)[], shape: Shape) {
  return z
    .looseObject({})
    .refine((answer) => typeof answer.code === "string" || names.some((name) => answer[name] !== undefined))
    .pipe(z.object(shape));
}

/** Schema of the answer to a change. A gateway's, even with status 200, does not say that Kinde made it. */
export const changed = z.looseObject({ code: z.string() });

/**
 * Awaits an answer about something that Kinde has just named, or that always exists. Kinde documents no 404 for it, and a
 * gateway's must not pass for "none".
 *
 * @throws {KindeError} `kinde_unavailable` for a 404
 */
export async function mustExist<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw asOutage(error);
  }
}

/** Returns a 404 as an outage, any other error as it is. */
export function asOutage(error: unknown): unknown {
  if (!(error instanceof KindeError) || error.code !== "kinde_not_found") return error;
  return new KindeError("kinde_unavailable", error.message, { cause: error, status: 404 });
}

/** Returns whether a failed call says nothing about the same call for another user or organization. */
export function concernsOne(error: unknown): boolean {
  return error instanceof KindeError && (error.code === "kinde_unavailable" || error.code === "kinde_rejected");
}

/** The longest text that is read as a timestamp, in characters. A longer one would only take time. */
const longestInstant = 64;

/** Parses one of Kinde's timestamps. Their offsets can lack minutes (`+11`), which `Date.parse` does not accept. */
export function parseInstant(time: string): number {
  if (time.length > longestInstant) return Number.NaN;
  return Date.parse(time.replace(/(T.*[+-]\d\d)$/, "$1:00"));
}

/** Returns whether two timestamps name the same instant. Kinde can write it with different UTC offsets. */
export function sameInstant(one: string | null, other: string | null): boolean {
  return one === other || (one !== null && other !== null && parseInstant(one) === parseInstant(other));
}
