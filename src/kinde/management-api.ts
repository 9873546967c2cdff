import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { connectionProblem, KindeError, ThrottledError } from "../errors.ts";
import type { Fetch, FetchRequest } from "../fetch.ts";
import { inSpan } from "../trace.ts";
import { type AccessTokens, configurationError } from "./access-token.ts";
import type { CallBudget, Priority } from "./call-budget.ts";
import { BodyTooLarge, followSignal, type OnAnswer, parseJson, parseRateLimitReset, readText } from "./request.ts";

/** One call to the Management API. */
export interface Call<T> {
  /** Path and query, from `/api/v1/`. */
  path: string;
  /** The route for messages, with placeholders: it must not contain an id or a value. */
  route: string;
  /** Scope that the application needs. */
  scope: string;
  /** Schema of the answer. */
  answer: z.ZodType<T>;
  /** Whether the answer is a long list: asks for it compressed, which costs more than it saves for one user. */
  long?: boolean;
}

/** A call that changes something. */
export interface Change<T> extends Call<T> {
  method: "PATCH" | "POST" | "DELETE";
  /** Sent as JSON. */
  body?: unknown;
}

/** Options for every call. */
export interface CallOptions {
  /** See {@link Priority}. */
  priority: Priority;
  /** Longest wait for the call budget or the end of a pause, in milliseconds. Default: the budget's own. */
  patienceMs?: number;
  /** Id of the user that the call is about: Kinde can limit one user's calls. Default: the route. */
  subject?: string;
  /** Aborted at shutdown. */
  signal: AbortSignal;
  /**
   * The controller of the signal, where calls need each other: the first that runs out of time ends all. Default: one for
   * each call, which follows the signal.
   */
  controller?: AbortController;
}

/** Kinde's Management API: authenticated calls within the call budget, with one error code per kind of failure. */
export interface ManagementApi {
  /**
   * Reads.
   *
   * @throws {ThrottledError} if Kinde answers 429, or the budget is used up
   * @throws {KindeError} for every other failure
   */
  get<T>(call: Call<T>, options: CallOptions): Promise<T>;
  /** Changes something. Throws as {@link ManagementApi.get}. */
  send<T>(change: Change<T>, options: CallOptions): Promise<T>;
}

/** Dependencies of {@link createManagementApi}. */
export interface ManagementApiOptions {
  origin: string;
  fetch: Fetch;
  accessTokens: AccessTokens;
  budget: Pick<CallBudget, "run" | "pause" | "limit">;
  /** Time limit for one call including its body, in milliseconds. */
  timeoutMs: number;
  onAnswer?: OnAnswer;
}

/** Largest answer in bytes, decoded. A page of 500 users with long properties takes less than half of it. */
const maxAnswerBytes = 8 * 1024 * 1024;

/** Longest error message of Kinde's to pass on, in characters. */
const longestReason = 500;

/** How often in a row Kinde can answer a call with 429 before its job goes back to the queue. */
const mostRefusals = 5;

/** Creates a client for the Management API. */
export function createManagementApi(options: ManagementApiOptions): ManagementApi {
  const { accessTokens, budget } = options;
  const { host, hostname } = new URL(options.origin);
  const authorize = createAuthorize();
  const requestOptions = { ...options, host, hostname };
  // Without a token nobody can call. If Redis cannot store the pause, the caller must still learn about the 429.
  const paused = async (pauseMs: number) => {
    await budget.pause(pauseMs).catch(() => undefined);
    return new ThrottledError(pauseMs);
  };
  const limited = async (subject: string, ms: number) => {
    const scope = await budget.limit(subject, ms).catch(() => "one" as const);
    return new ThrottledError(ms, { scope });
  };
  const getToken = async (signal: AbortSignal) => {
    try {
      return await accessTokens.get(signal);
    } catch (error) {
      throw error instanceof ThrottledError ? await paused(error.retryAfterMs) : error;
    }
  };
  const once = async <T>(call: Call<T> | Change<T>, options: CallOptions & { subject: string }, token: string) => {
    const { priority, signal, patienceMs = 0, subject } = options;
    const send = () => request(requestOptions, call, authorize(token), options);
    for (let refusals = 1; ; refusals += 1) {
      let refusal: ThrottledError;
      try {
        const answer = await budget.run(priority, send, options);
        if (answer.status !== 429) return answer;
        refusal = await limited(subject, parseRateLimitReset(answer.reset));
      } catch (error) {
        refusal = ofOneSubject(error);
      }
      // Waits rather than failing in the middle of a user: if a large user started over each time, it might never finish.
      if (refusal.retryAfterMs > patienceMs || refusals === mostRefusals) throw refusal;
      // The budget itself waits for the end of a pause, but not for one subject: others would wait behind it.
      if (refusal.scope === "one") await delay(refusal.retryAfterMs, undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
    }
  };
  const make = async <T>(call: Call<T> | Change<T>, callOptions: CallOptions): Promise<T> => {
    const { signal, subject } = callOptions;
    const options = subject === undefined ? { ...callOptions, subject: call.route } : { ...callOptions, subject };
    const token = await getToken(signal);
    const answer = await once(call, options, token);
    if (answer.status < 300) accessTokens.reportAccepted(token);
    if (answer.status !== 401 && answer.status !== 403) return read(host, call, answer);
    // Returns the same token if another one would not help.
    await (answer.status === 401 ? accessTokens.reportRejected(token) : accessTokens.reportMissingScope(token));
    const other = await getToken(signal);
    if (other === token) return read(host, call, answer);
    const second = await once(call, options, other);
    // Throws the configuration error if the rejected token has just been issued.
    if (second.status === 401) await accessTokens.reportRejected(other);
    return read(host, call, second);
  };
  return { get: make, send: make };
}

function ofOneSubject(error: unknown): ThrottledError {
  if (error instanceof ThrottledError && error.scope === "one") return error;
  throw error;
}

const errorSchema = z.object({
  errors: z.array(z.object({ code: z.string().nullish(), message: z.string().nullish() })),
});

interface Answer {
  status: number;
  reset: string | null;
  text: string;
}

/** Options of one request: those of the API, with the parts of its origin. */
interface RequestOptions extends Pick<ManagementApiOptions, "origin" | "fetch" | "timeoutMs" | "onAnswer"> {
  host: string;
  hostname: string;
}

/** Returns the headers that every call with a token has. One text for all calls: a token takes a kilobyte. */
function createAuthorize(): (token: string) => Readonly<Record<string, string>> {
  let authorized: { token: string; headers: Readonly<Record<string, string>> } | undefined;
  return (token) => {
    if (authorized?.token !== token) {
      const authorization = Buffer.from(`Bearer ${token}`).toString();
      authorized = { token, headers: { authorization, accept: "application/json" } };
    }
    return authorized.headers;
  };
}

function request(
  options: RequestOptions,
  call: Call<unknown> | Change<unknown>,
  authorized: Readonly<Record<string, string>>,
  { signal, controller }: CallOptions,
): Promise<Answer> {
  const { route } = call;
  const attributes = { "url.template": route, "server.address": options.hostname };
  return inSpan(route, { kind: "client", attributes }, async (span) => {
    const { controller: ending, release } =
      controller === undefined ? followSignal(signal) : { controller, release: undefined };
    try {
      const answer = await exchange(options, call, authorized, ending);
      span?.setAttribute("http.response.status_code", answer.status);
      return answer;
    } finally {
      release?.();
    }
  });
}

async function exchange(
  { origin, host, fetch, timeoutMs, onAnswer }: RequestOptions,
  call: Call<unknown> | Change<unknown>,
  authorized: Readonly<Record<string, string>>,
  ending: AbortController,
): Promise<Answer> {
  const { route, path } = call;
  if (!isPlainPath(path)) {
    throw new KindeError("kinde_unavailable", `${route} was not called: an id from Kinde would change the path.`);
  }
  const fail = (reason: string, cause?: unknown) => {
    onAnswer?.(route, "failed");
    return new KindeError("kinde_unavailable", `${route} at ${host} failed: ${reason}.`, { cause });
  };
  const timer = setTimeout(() => ending.abort(fail(`no answer within ${timeoutMs} ms`)), timeoutMs);
  const { signal } = ending;
  try {
    const response = await fetch(origin + path, { ...contentOf(call, authorized), redirect: "error", signal });
    const text = await readText(response, maxAnswerBytes);
    onAnswer?.(route, response.status);
    return { status: response.status, reset: response.headers.get("ratelimit-reset"), text };
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof BodyTooLarge
      ? fail(`the answer is larger than ${maxAnswerBytes / 1024 / 1024} MiB`, cause)
      : fail(connectionProblem(cause) ?? "the connection failed", cause);
  } finally {
    clearTimeout(timer);
  }
}

function contentOf(
  call: Call<unknown> | Change<unknown>,
  authorized: Readonly<Record<string, string>>,
): Pick<FetchRequest, "method" | "headers" | "body"> {
  if ("method" in call) {
    const headers = { ...authorized, "content-type": "application/json" };
    return { method: call.method, headers, ...(call.method !== "DELETE" && { body: JSON.stringify(call.body ?? {}) }) };
  }
  return { headers: call.long ? { ...authorized, "accept-encoding": "gzip" } : authorized };
}

function read<T>(host: string, call: Call<T> | Change<T>, { status, text }: Answer): T {
  const { route, scope, answer } = call;
  if (status >= 200 && status < 300) {
    const result = answer.safeParse(parseJson(text));
    if (result.success) return result.data;
    throw new KindeError("kinde_unavailable", `The answer to ${route} at ${host} is malformed.`, { status });
  }
  if (status === 401) throw configurationError(host, `the access token for ${route}`, status);
  if (status === 403) {
    // Failed refreshes stay in the ledger and can be reprocessed. Only the caller can repeat a change.
    const next =
      "method" in call
        ? "then try again with a new access token (docs/operations.md, Scopes)"
        : "then run kindling reprocess --failed";
    throw new KindeError(
      "kinde_forbidden",
      `${host} denied ${route}: grant the machine-to-machine application the scope ${scope}, ${next}.`,
      { status },
    );
  }
  if (status === 404) throw new KindeError("kinde_not_found", `${route} at ${host} answered 404.`, { status });
  if (status >= 400 && status < 500 && status !== 408 && status !== 425) {
    throw new KindeError("kinde_rejected", `${host} rejected ${route} with status ${status}.`, {
      status,
      ...reasonOf(text),
    });
  }
  throw new KindeError("kinde_unavailable", `${route} at ${host} failed with status ${status}.`, { status });
}

/** Returns whether a path reaches the route it names. URLs drop `.` and `..`, which no encoding protects. */
function isPlainPath(path: string): boolean {
  return !/^[^?]*\/\.{0,2}(?:[/?]|$)/.test(path);
}

function reasonOf(text: string): { reason?: string } {
  const body = errorSchema.safeParse(parseJson(text));
  const reason = body.data?.errors
    .map(({ code, message }) => message ?? code ?? "")
    .join("; ")
    .slice(0, longestReason);
  return reason ? { reason } : {};
}
