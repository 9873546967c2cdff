import { KindlingError } from "kindling";
import { z } from "zod";
import type { Written } from "../redis/ledger.ts";

/** What a property can be set to. Kinde keeps text: `true` becomes `"true"`. `null` removes the value. */
export type PropertyValue = string | number | boolean | null;

/** Kinde's limit of objects in one bulk write. */
const mostProperties = 100;

const text = z.union([z.string(), z.number(), z.boolean()], "must be text, a number, true, false or null");

/** New values of a user's properties, by key: 1 to 100 of them. */
export const propertyValues = z
  // Taken apart and put together again by entries: a record would lose a key such as "__proto__" without a word.
  .custom<Record<string, unknown>>(isObject, "must be an object of properties and their values")
  .transform((properties) => Object.entries(properties))
  .pipe(z.array(z.tuple([z.string().min(1, "must not be empty"), text.transform(String).nullable()])))
  .refine(({ length }) => length >= 1, "must name a property at least")
  .refine(({ length }) => length <= mostProperties, `must name ${mostProperties} properties at most`)
  .transform((entries): Written => Object.fromEntries(entries));

/**
 * New values of properties as the Management API takes them.
 *
 * @throws {KindlingError} `request_malformed`, naming no value
 */
export function parsePropertyValues(properties: unknown): Written {
  const { data, error } = propertyValues.safeParse(properties);
  if (data === undefined) {
    throw new KindlingError(
      "request_malformed",
      `Properties: ${error.issues.map(({ message }) => message).join("; ")}.`,
    );
  }
  return data;
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
