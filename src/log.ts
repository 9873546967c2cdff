import { KindlingError } from "kindling";
import pino from "pino";
import { errorCode } from "./errors.ts";

/**
 * A structured log. Entries contain ids and codes only: never pass a token, a secret, an email address or a phone number.
 */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Creates a log that writes JSON lines to standard output. */
export function createLog(level: LogLevel): Log {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}

/**
 * Returns the loggable fields of an error. Omits the messages of third-party errors, which can quote their input.
 */
export function errorFields(error: unknown): { code: string; message?: string } {
  return error instanceof KindlingError ? { code: error.code, message: error.message } : { code: errorCode(error) };
}
