import { KindlingError } from "kindling";
import pino from "pino";
import { errorCode } from "./errors.ts";

/**
 * Where a process says what happened. Entries carry ids and codes only: no token, secret, e-mail address or phone
 * number is ever passed to it.
 */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** JSON lines on standard output. */
export function createLog(level: LogLevel): Log {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}

/**
 * What may be said of an error in a log. Messages of foreign errors are left out unless they are ours: a library's
 * message can quote what it was given.
 */
export function errorFields(error: unknown): { code: string; message?: string } {
  return error instanceof KindlingError ? { code: error.code, message: error.message } : { code: errorCode(error) };
}
