import { type Definitions, KindlingError } from "kindling";
import { blankProfile, type Misfit } from "kindling/contract";
import { z } from "zod";
import type { Written } from "../redis/ledger.ts";

/** A value to set. Kinde stores text, so `true` becomes `"true"`. `null` removes the value. */
export type PropertyValue = string | number | boolean | null;

/** Kinde's limit per bulk write. */
const mostProperties = 100;

const text = z.union([z.string(), z.number(), z.boolean()], "must be a string, a number, true, false or null");

/** Schema of property values by key: at least 1 and at most 100. */
export const propertyValues = z
  // Validates entries, because `z.record` silently drops keys such as "__proto__".
  .custom<Record<string, unknown>>(isObject, "must be an object that maps property keys to values")
  .transform((properties) => Object.entries(properties))
  .pipe(z.array(z.tuple([z.string().min(1, "must not be empty"), text.transform(String).nullable()])))
  .refine(({ length }) => length >= 1, "must contain at least one property")
  .refine(({ length }) => length <= mostProperties, `must contain at most ${mostProperties} properties`)
  .transform((entries): Written => Object.fromEntries(entries));

/**
 * Converts property values to the strings that the Management API accepts.
 *
 * @throws {KindlingError} `request_malformed`, with a message that contains no value
 */
export function parsePropertyValues(properties: unknown): Written {
  const { data, error } = propertyValues.safeParse(properties);
  if (data === undefined) {
    throw new KindlingError(
      "request_malformed",
      `Invalid properties: ${error.issues.map(({ message }) => message).join("; ")}.`,
    );
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
