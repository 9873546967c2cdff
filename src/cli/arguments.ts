import { InvalidArgumentError } from "commander";
import { organizationCode, userId } from "../kinde/ids.ts";

/** Parses a repeatable user id argument, without duplicates. */
export function parseUserIds(text: string, previous: readonly string[] | undefined): string[] {
  return [...new Set([...(previous ?? []), parseUserId(text)])];
}

/** Parses a user id. */
export function parseUserId(text: string): string {
  if (userId.safeParse(text).success) return text;
  throw new InvalidArgumentError("A user id is kp_ followed by letters or digits.");
}

/** Parses an organization code. */
export function parseOrganizationCode(text: string): string {
  if (organizationCode.safeParse(text).success) return text;
  throw new InvalidArgumentError("An organization code is org_ followed by letters or digits.");
}

/** Parses a repeatable member of the failed list: a user id, the subject of a fan-out or a delivery. */
export function parseMembers(text: string, previous: readonly string[] | undefined): string[] {
  if (
    !userId.safeParse(text).success &&
    !/^(organization|plans|role|permission|push:[\da-f]{8}):[\w-]{1,128}$/.test(text)
  ) {
    throw new InvalidArgumentError(
      "Expected a user id, organization:<code>, plans:<code>, role:<id>, permission:<id> or push:<id>.",
    );
  }
  return [...new Set([...(previous ?? []), text])];
}

/** Returns a parser for whole numbers from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

/** Parses an HTTP or HTTPS URL. */
export function parseHttpUrl(text: string): string {
  if (/^https?:\/\//.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError("Expected a URL such as http://localhost:3000/webhooks/kinde.");
}
