import { failure, type Reply } from "../http/reply.ts";
import type { Faults, Target } from "./faults.ts";

/** An outcome that replaces handling the call. */
export type Interrupt = { how: "answer"; reply: Reply } | { how: "hang" } | { how: "reset" };

export function interruptOf(faults: Faults, target: Target): Interrupt | undefined {
  if (faults.strike("reset", target)) return { how: "reset" };
  if (faults.strike("hang", target)) return { how: "hang" };
  const error = faults.strike("error", target)?.fault;
  if (!error) return undefined;
  const { status, code = codeOf(status), message = "Injected by an error fault." } = error;
  return { how: "answer", reply: failure(status, code, message) };
}

/** Returns the interrupt of a `jwks_down` fault. */
export function keySetInterrupt(faults: Faults): Interrupt | undefined {
  const down = faults.strike("jwks_down", {})?.fault;
  if (!down) return undefined;
  if (down.how === "hang" || down.how === "reset") return { how: down.how };
  if (down.how === "garbage") return { how: "answer", reply: garbage };
  const status = down.status ?? 503;
  return { how: "answer", reply: failure(status, codeOf(status), "Injected by a jwks_down fault.") };
}

/** Declares JSON but is not. */
export const garbage: Reply = {
  status: 200,
  body: '<html><body>{"id": Bad gateway',
  headers: { "content-type": "application/json; charset=utf-8" },
};

const codeOf = (status: number): string => {
  if (status === 401) return "UNAUTHORIZED";
  if (status === 403) return "FORBIDDEN";
  return status >= 500 ? "INTERNAL_ERROR" : "BAD_REQUEST";
};
