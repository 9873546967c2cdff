import { createHmac } from "node:crypto";
import type { FlagsRecord } from "kindling/contract";
import { PushError } from "../errors.ts";
import type { Fetch } from "../fetch.ts";
import { withDeadline } from "../kinde/request.ts";
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
    const headers = {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      "webhook-signature": signatures.join(" "),
    };
    let status: number;
    try {
      status = await withDeadline(stopping, timeoutMs, async (signal) => {
        const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
        await response.body?.cancel().catch(() => undefined);
        return response.status;
      });
    } catch (cause) {
      stopping.throwIfAborted();
      const expired = cause instanceof Error && cause.name === "TimeoutError";
      const reason = expired ? `did not answer within ${timeoutMs} ms` : "cannot be reached";
      throw new PushError("push_failed", `${host} ${reason}: check KINDLING_PUSH_URLS and the receiver.`, { cause });
    }
    if (status < 200 || status > 299) {
      throw new PushError("push_refused", `${host} answered with status ${status}: see the receiver's log.`);
    }
  };
}

function messageOf({ id, userId, record, previous }: Change, now: number) {
  return {
    type: "flags.changed",
    timestamp: new Date(now).toISOString(),
    data: {
      userId,
      ...stateOf(record),
      sequence: sequenceOf(id),
      previous: previous === null ? null : stateOf(previous),
    },
  };
}

/** Returns the id of a stream's entry as text that sorts like the entries: Redis counts within a millisecond. */
function sequenceOf(id: string): string {
  const [ms = "", count = ""] = id.split("-");
  return `${ms.padStart(13, "0")}-${count.padStart(6, "0")}`;
}

// Without members that are ours alone, such as the fingerprint of the definitions.
function stateOf({ schema: _schema, ...state }: FlagsRecord) {
  return state;
}
