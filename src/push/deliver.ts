import { createHmac } from "node:crypto";
import type { FlagsRecord } from "kindling/contract";
import { PushError } from "../errors.ts";
import type { Fetch } from "../fetch.ts";
import type { Change } from "./change.ts";

/** Where changes are sent. */
export interface PushEndpoint {
  url: string;
  /** Secrets of the form `whsec_…`. Each signs, so that a receiver can change from one to the next. */
  secrets: readonly string[];
}

/** Options for {@link createDeliver}. */
export interface DeliverOptions extends PushEndpoint {
  fetch: Fetch;
  /** Milliseconds since the epoch. */
  now: () => number;
  timeoutMs: number;
}

/**
 * Sends one change.
 *
 * @throws {PushError} if the endpoint does not answer with 2xx
 */
export type Deliver = (change: Change, signal: AbortSignal) => Promise<void>;

/**
 * Creates deliveries in the Standard Webhooks format. Follows no redirect, because it could lead into the private network,
 * and reads no body of an answer.
 *
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export function createDeliver({ url, secrets, fetch, now, timeoutMs }: DeliverOptions): Deliver {
  const keys = secrets.map((secret) => Buffer.from(secret.replace(/^whsec_/, ""), "base64"));
  const { host } = new URL(url);

  return async (change, stopping) => {
    const id = `msg_${change.id}`;
    const timestamp = String(Math.floor(now() / 1000));
    const body = JSON.stringify(messageOf(change, now()));
    const content = `${id}.${timestamp}.${body}`;
    const signatures = keys.map((key) => `v1,${createHmac("sha256", key).update(content).digest("base64")}`);
    const timeout = AbortSignal.timeout(timeoutMs);
    let status: number;
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "webhook-id": id,
          "webhook-timestamp": timestamp,
          "webhook-signature": signatures.join(" "),
        },
        body,
        redirect: "manual",
        signal: AbortSignal.any([timeout, stopping]),
      });
      status = response.status;
      await response.body?.cancel().catch(() => undefined);
    } catch (cause) {
      stopping.throwIfAborted();
      const reason = timeout.aborted ? `did not answer within ${timeoutMs} ms` : "cannot be reached";
      throw new PushError("push_failed", `${host} ${reason}: check KINDLING_PUSH_URLS and the receiver.`, { cause });
    }
    if (status < 200 || status > 299) {
      throw new PushError("push_refused", `${host} answered with status ${status}: see the receiver's log.`);
    }
  };
}

function messageOf({ userId, record, previous }: Change, now: number) {
  return {
    type: "flags.changed",
    timestamp: new Date(now).toISOString(),
    data: { userId, ...stateOf(record), previous: previous === null ? null : stateOf(previous) },
  };
}

// Without members that are ours alone, such as the fingerprint of the definitions.
function stateOf({ schema: _schema, ...state }: FlagsRecord) {
  return state;
}
