import { KindlingError } from "kindling";
import pino from "pino";
import { errorCode } from "./errors.ts";
import { traceIds } from "./trace.ts";

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

/** Creates a log that writes JSON lines to standard output. Inside a trace, each has its `trace_id` and `span_id`. */
export function createLog(level: LogLevel, destination?: { write(line: string): void }): Log {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    mixin: traceIds,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/**
 * Returns the loggable fields of an error. Omits the messages of third-party errors, which can quote their input.
 */
export function errorFields(error: unknown): { code: string; message?: string } {
  return error instanceof KindlingError ? { code: error.code, message: error.message } : { code: errorCode(error) };
}
