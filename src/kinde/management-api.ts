import { z } from "zod";
import { KindeError, ThrottledError } from "../errors.ts";
import type { AccessTokens } from "./access-token.ts";

/** Who gets to call first when calls are scarce. */
export type Priority = "webhook" | "bulk";

/** Gate before every call; see `cache/call-budget.ts`. */
export interface CallGate {
  run<T>(priority: Priority, call: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  pause(ms: number): Promise<void>;
}

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
  method: "PATCH" | "POST";
  /** Sent as JSON. */
  body?: unknown;
}

/** How a call is made. */
export interface CallOptions {
  priority: Priority;
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
  budget: CallGate;
  /** Longest time for one call, its body included, in milliseconds. */
  timeoutMs: number;
}

/** A 429 without a usable `RateLimit-Reset` pauses for so long. */
const defaultPauseMs = 5_000;
/** No pause is longer, whatever the header says. */
const longestPauseMs = 3_600_000;

/** The Management API over `fetch`. */
export function createManagementApi(options: ManagementApiOptions): ManagementApi {
  const { accessTokens, budget } = options;
  const once = async <T>(call: Call<T> | Change<T>, { priority, signal }: CallOptions, token: string) => {
    const answer = await budget.run(priority, () => request(options, call, token, signal), signal);
    if (answer.status !== 429) return answer;
    const pauseMs = pauseOf(answer.reset);
    await budget.pause(pauseMs);
    throw new ThrottledError(pauseMs);
  };
  const make = async <T>(call: Call<T> | Change<T>, callOptions: CallOptions): Promise<T> => {
    let token = await accessTokens.get(callOptions.signal);
    let answer = await once(call, callOptions, token);
    if (answer.status === 401) {
      await accessTokens.refuse(token);
      token = await accessTokens.get(callOptions.signal);
      answer = await once(call, callOptions, token);
      // Issued just now and refused: throws the configuration error.
      if (answer.status === 401) await accessTokens.refuse(token);
    }
    return read(call, answer);
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
    const change = "method" in call ? { method: call.method, body: JSON.stringify(call.body ?? {}) } : {};
    const response = await fetch(origin + call.path, {
      ...change,
      headers: {
        authorization: `Bearer ${token}`,
        accept: "application/json",
        ...("method" in call ? { "content-type": "application/json" } : {}),
      },
      redirect: "error",
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    return { status: response.status, reset: response.headers.get("ratelimit-reset"), text: await response.text() };
  } catch (cause) {
    signal.throwIfAborted();
    const what = cause instanceof Error && cause.name === "TimeoutError" ? `no answer in ${timeoutMs} ms` : "no answer";
    throw new KindeError("kinde_unavailable", `Kinde: ${what} to ${call.route}.`, { cause });
  }
}

function read<T>({ route, scope, answer }: Call<T>, { status, text }: Answer): T {
  if (status >= 200 && status < 300) {
    const result = answer.safeParse(parseJson(text));
    if (result.success) return result.data;
    throw new KindeError("kinde_unavailable", `Kinde's answer to ${route} makes no sense.`, { status });
  }
  if (status === 401) throw new KindeError("kinde_unauthorized", `Kinde refuses our token for ${route}.`, { status });
  if (status === 403) {
    throw new KindeError(
      "kinde_forbidden",
      `Kinde forbids ${route}: give the machine-to-machine application the scope ${scope}, then reprocess what failed.`,
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

// `RateLimit-Reset` is in seconds until the window opens.
function pauseOf(reset: string | null): number {
  const seconds = reset === null || reset.trim() === "" ? Number.NaN : Number(reset);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1000, longestPauseMs) : defaultPauseMs;
}
