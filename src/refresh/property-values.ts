import { type Definitions, KindlingError } from "kindling";
import { blankProfile, type Misfit } from "kindling/contract";
import { z } from "zod";
import type { Written } from "../redis/ledger.ts";

/** A value to set. Kinde stores text, so `true` becomes `"true"`. `null` removes the value. */
export type PropertyValue = string | number | boolean | null;

/** Kinde's limit per bulk write. */
const mostProperties = 100;

/** Keys that an error can name: others could be anything, such as a phone number. */
const nameable = /^[a-z][\w.-]{0,99}$/i;

/** Schema of property values by key: at least 1 and at most 100. */
export const propertyValues = z
  // Validates entries, because `z.record` silently drops keys such as "__proto__".
  .custom<Record<string, unknown>>(isObject, "must be an object that maps property keys to values")
  .transform((properties, context): Written => {
    const entries = Object.entries(properties);
    const refuse = (message: string, path: string[] = []) => context.addIssue({ code: "custom", message, path });
    if (entries.length === 0) refuse("must contain at least one property");
    if (entries.length > mostProperties) refuse(`must contain at most ${mostProperties} properties`);
    const written = entries.slice(0, mostProperties).map(([key, value]) => {
      if (key === "") refuse("must not have an empty key");
      else if (!isValue(value)) refuse(wrongValue, nameable.test(key) ? [key] : []);
      return [key, isValue(value) && value !== null ? String(value) : null] as const;
    });
    return Object.fromEntries(written);
  });

const wrongValue = "must be a string, a number, true, false or null";

function isValue(value: unknown): value is PropertyValue {
  return value === null || ["string", "boolean"].includes(typeof value) || Number.isFinite(value);
}

/**
 * Converts property values to the strings that the Management API accepts.
 *
 * @throws {KindlingError} `request_malformed`, with a message that contains no value
 */
export function parsePropertyValues(properties: unknown): Written {
  const { data, error } = propertyValues.safeParse(properties);
  if (data === undefined) {
    const problems = error.issues.slice(0, 3).map(({ path, message }) => [...path, message].join(" "));
    throw new KindlingError("request_malformed", `Invalid properties: ${problems.join("; ")}.`);
  }
  return data;
}

/** Returns the flags that have their default because one of these values does not fit. A reason can quote the value. */
export function findMisfits(definitions: Definitions, properties: Written): readonly Misfit[] {
  return definitions.derive({ ...blankProfile(), properties }).misfits;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
