import { z } from "zod";
import { KindeError, ThrottledError } from "../errors.ts";
import type { AccessTokens } from "./access-token.ts";
import type { CallBudget, Priority } from "./call-budget.ts";
import { pauseOf, withDeadline } from "./request.ts";

/** One call to the Management API. */
export interface Call<T> {
  /** Path and query, from `/api/v1/`. */
  path: string;
  /** The route in words for messages: never holds an id or a value. */
  route: string;
  /** Scope the application must have for it. */
  scope: string;
  answer: z.ZodType<T>;
}

/** One call that changes something. */
export interface Change<T> extends Call<T> {
  method: "PATCH" | "POST" | "DELETE";
  /** Sent as JSON. */
  body?: unknown;
}

/** How a call is made. */
export interface CallOptions {
  /** `webhook`: somebody waits for it. `bulk`: leaves a quarter of the budget to the others. */
  priority: Priority;
  /** Longest wait for room or for the end of a pause, in milliseconds; default the budget's own. */
  patienceMs?: number;
  /** Aborted at shutdown. */
  signal: AbortSignal;
}

/** Kinde's Management API: authenticated, within the call budget, every failure told by its kind. */
export interface ManagementApi {
  /**
   * @throws {ThrottledError} Kinde answered 429 (the whole fleet pauses), or the budget has no room
   * @throws {KindeError} for every other failure
   */
  get<T>(call: Call<T>, options: CallOptions): Promise<T>;
  /** The same, for a change. */
  send<T>(change: Change<T>, options: CallOptions): Promise<T>;
}

/** What calling needs. */
export interface ManagementApiOptions {
  origin: string;
  fetch: typeof fetch;
  accessTokens: AccessTokens;
  budget: Pick<CallBudget, "run" | "pause">;
  /** Longest time for one call, its body included, in milliseconds. */
  timeoutMs: number;
}

/** Times in a row that one call is refused by 429 before its job waits in the queue instead. */
const mostRefusals = 5;

/** The Management API over `fetch`. */
export function createManagementApi(options: ManagementApiOptions): ManagementApi {
  const { accessTokens, budget } = options;
  // The whole fleet pauses. That the pause itself could not be noted is no reason to forget what Kinde said.
  const throttled = async (pauseMs: number) => {
    await budget.pause(pauseMs).catch(() => undefined);
    return new ThrottledError(pauseMs);
  };
  const getToken = async (signal: AbortSignal) => {
    try {
      return await accessTokens.get(signal);
    } catch (error) {
      throw error instanceof ThrottledError ? await throttled(error.retryAfterMs) : error;
    }
  };
  const once = async <T>(call: Call<T> | Change<T>, callOptions: CallOptions, token: string) => {
    const { priority, signal, patienceMs = 0 } = callOptions;
    for (let refusals = 1; ; refusals += 1) {
      const answer = await budget.run(priority, () => request(options, call, token, signal), callOptions);
      if (answer.status !== 429) return answer;
      const error = await throttled(pauseOf(answer.reset));
      // Calls in the middle of a user are worth waiting for: begun anew, a large user might never come to an end.
      if (error.retryAfterMs > patienceMs || refusals === mostRefusals) throw error;
    }
  };
  // The token to try again with; the same one where no other would fare better.
  const tokenAfter = async (status: number, token: string, signal: AbortSignal) => {
    if (status !== 401 && status !== 403) return token;
    await (status === 401 ? accessTokens.refuse(token) : accessTokens.doubt(token));
    return getToken(signal);
  };
  const make = async <T>(call: Call<T> | Change<T>, callOptions: CallOptions): Promise<T> => {
    const token = await getToken(callOptions.signal);
    const answer = await once(call, callOptions, token);
    const other = await tokenAfter(answer.status, token, callOptions.signal);
    if (other === token) return read(call, answer);
    const second = await once(call, callOptions, other);
    // Issued just now and refused: throws the configuration error.
    if (second.status === 401) await accessTokens.refuse(other);
    return read(call, second);
  };
  return { get: make, send: make };
}

const errorSchema = z.object({
  errors: z.array(z.object({ code: z.string().nullish(), message: z.string().nullish() })),
});

interface Answer {
  status: number;
  reset: string | null;
  text: string;
}

async function request(
  { origin, fetch, timeoutMs }: ManagementApiOptions,
  call: Call<unknown> | Change<unknown>,
  token: string,
  signal: AbortSignal,
): Promise<Answer> {
  try {
    const body = "method" in call && call.method !== "DELETE" ? { body: JSON.stringify(call.body ?? {}) } : {};
    const change = "method" in call ? { method: call.method, ...body } : {};
    return await withDeadline(signal, timeoutMs, async (deadline) => {
      const response = await fetch(origin + call.path, {
        ...change,
        headers: {
          authorization: `Bearer ${token}`,
          accept: "application/json",
          ...("method" in call ? { "content-type": "application/json" } : {}),
        },
        redirect: "error",
        signal: deadline,
      });
      return { status: response.status, reset: response.headers.get("ratelimit-reset"), text: await response.text() };
    });
  } catch (cause) {
    signal.throwIfAborted();
    const what = cause instanceof Error && cause.name === "TimeoutError" ? `no answer in ${timeoutMs} ms` : "no answer";
    throw new KindeError("kinde_unavailable", `Kinde: ${what} to ${call.route}.`, { cause });
  }
}

function read<T>(call: Call<T> | Change<T>, { status, text }: Answer): T {
  const { route, scope, answer } = call;
  if (status >= 200 && status < 300) {
    const result = answer.safeParse(parseJson(text));
    if (result.success) return result.data;
    throw new KindeError("kinde_unavailable", `Kinde's answer to ${route} makes no sense.`, { status });
  }
  if (status === 401) throw new KindeError("kinde_unauthorized", `Kinde refuses our token for ${route}.`, { status });
  if (status === 403) {
    // What failed to be refreshed stands in the ledger; a change is for its caller to repeat, and no command knows of it.
    const next =
      "method" in call
        ? "then try again with a new access token (docs/operations.md, Scopes)"
        : "then reprocess what failed";
    throw new KindeError(
      "kinde_forbidden",
      `Kinde forbids ${route}: give the machine-to-machine application the scope ${scope}, ${next}.`,
      { status },
    );
  }
  if (status === 404) throw new KindeError("kinde_not_found", `Kinde has nothing for ${route}.`, { status });
  if (status >= 400 && status < 500 && status !== 408 && status !== 425) {
    throw new KindeError("kinde_rejected", `Kinde rejects ${route} with status ${status}.`, {
      status,
      ...reasonOf(text),
    });
  }
  throw new KindeError("kinde_unavailable", `Kinde answers ${route} with status ${status}.`, { status });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function reasonOf(text: string): { reason?: string } {
  const body = errorSchema.safeParse(parseJson(text));
  const reason = body.data?.errors.map(({ code, message }) => message ?? code ?? "").join("; ");
  return reason ? { reason } : {};
}
