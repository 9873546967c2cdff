import { InvalidArgumentError } from "commander";
import { organizationCode, userId } from "../kinde/ids.ts";

/** One user id of many. */
export function parseUserIds(text: string, previous: readonly string[] | undefined): string[] {
  return [...new Set([...(previous ?? []), parseUserId(text)])];
}

/** A user id. */
export function parseUserId(text: string): string {
  if (userId.safeParse(text).success) return text;
  throw new InvalidArgumentError("A user id is kp_ and letters or digits.");
}

/** An organization's code. */
export function parseOrganizationCode(text: string): string {
  if (organizationCode.safeParse(text).success) return text;
  throw new InvalidArgumentError("An organization's code is org_ and letters or digits.");
}

/** What can stand among the failures: a user id, or what a fan-out looks up the users of. */
export function parseMembers(text: string, previous: readonly string[] | undefined): string[] {
  if (!userId.safeParse(text).success && !/^(organization|role|permission):[\w-]{1,128}$/.test(text)) {
    throw new InvalidArgumentError("Expected a user id, or organization:<code>, role:<id> or permission:<id>.");
  }
  return [...new Set([...(previous ?? []), text])];
}

/** A whole number in bounds. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

/** A URL over HTTP. */
export function parseHttpUrl(text: string): string {
  if (/^https?:\/\//.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError("Expected a URL such as http://localhost:3000/webhooks/kinde.");
}
