import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Redis } from "ioredis";
import { connectionProblem, RedisError } from "../errors.ts";

const wrongDatabase = /DB index|invalid DB/i;

/** Answers of Redis that no further attempt changes: the password or the database number is wrong. */
export function isWrongSetting(error: unknown): boolean {
  return (
    error instanceof Error &&
    (/(WRONGPASS|NOAUTH|invalid password)/.test(error.message) || wrongDatabase.test(error.message))
  );
}

/** Options for {@link explainRedisFailure}. */
export interface ExplainOptions {
  /** The last error of the connection; `undefined` if it ended without one. */
  cause: unknown;
  /** How long Redis was waited for, in milliseconds. */
  timeoutMs: number;
}

/** Returns the error that names the host and the cause of a connection that did not become ready, and what to do. */
export async function explainRedisFailure(redis: Redis, { cause, timeoutMs }: ExplainOptions): Promise<RedisError> {
  const place = `Redis at ${hostOf(redis)}`;
  const reason =
    answerProblem(redis, cause) ??
    (await protocolProblem(redis, Math.min(timeoutMs, longestProbeMs))) ??
    unreachable(cause, timeoutMs);
  return new RedisError("redis_unavailable", `${place} ${reason}`, { cause });
}

function hostOf({ options }: Redis): string {
  const { path, host = "127.0.0.1", port = 6379 } = options;
  return path ?? `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function answerProblem({ options }: Redis, cause: unknown): string | undefined {
  const text = cause instanceof Error ? cause.message : "";
  const user = !options.username ? "" : ` of the user ${options.username}`;
  if (/WRONGPASS|invalid password/.test(text)) return `refuses the password${user}: correct REDIS_URL.`;
  if (/NOAUTH/.test(text)) {
    return "requires a password: write it into REDIS_URL, as in redis://:<password>@host, or use REDIS_URL_FILE.";
  }
  if (wrongDatabase.test(text)) {
    return `has no database ${options.db}: correct the number at the end of REDIS_URL, or raise \`databases\` in redis.conf.`;
  }
  const denied = /NOPERM.*?(?:run the '([^']+)'|command)/.exec(text);
  if (denied !== null) {
    return `denies the command ${(denied[1] ?? "").toUpperCase()}${user}: use the ACL rules of docs/security.md.`;
  }
  if (/^LOADING/.test(text)) return "is still loading its data: try again in a moment.";
  if (/DENIED/.test(text)) return "runs in protected mode: set a password in redis.conf.";
  if (/max number of clients/.test(text)) return "has no connection left: raise `maxclients` in redis.conf.";
  return cause instanceof Error && cause.name === "ReplyError" ? `refuses the connection: ${text}.` : undefined;
}

function unreachable(cause: unknown, timeoutMs: number): string {
  const problem = connectionProblem(cause);
  if (problem !== undefined) return `cannot be reached: ${problem}. Check that Redis is running, or correct REDIS_URL.`;
  return `did not answer within ${timeoutMs} ms: start it, or correct REDIS_URL.`;
}

const longestProbeMs = 1_000;

/** Finds out whether the server speaks TLS where the URL says plain TCP, or the reverse. Both look like silence. */
async function protocolProblem({ options }: Redis, timeoutMs: number): Promise<string | undefined> {
  if (options.path !== undefined) return undefined;
  const target = { host: options.host ?? "127.0.0.1", port: options.port ?? 6379 };
  if (options.tls !== undefined) {
    const said = await answerOf(connectPlain(target), "connect", timeoutMs);
    return said?.startsWith("+PONG") || said?.startsWith("-")
      ? "speaks plain TCP, not TLS: write redis:// in REDIS_URL, or use its TLS port."
      : undefined;
  }
  const said = await answerOf(connectPlain(target), "connect", timeoutMs);
  if (said?.startsWith("HTTP/")) return "is not Redis: an HTTP server answers. Correct REDIS_URL.";
  if (said?.startsWith("+") || said?.startsWith("-")) return undefined;
  // Only asks which protocol is spoken, and sends no secret.
  const overTls = await answerOf(connectTls({ ...target, rejectUnauthorized: false }), "secureConnect", timeoutMs);
  return overTls === undefined ? undefined : "expects TLS: write rediss:// in REDIS_URL.";
}

/** Returns the first answer to `PING`, or an empty text if the server closes; `undefined` if no connection is made. */
function answerOf(
  socket: Socket,
  connected: "connect" | "secureConnect",
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let open = false;
    const finish = (said: string | undefined) => {
      socket.destroy();
      resolve(said);
    };
    socket.setTimeout(timeoutMs, () => finish(open ? "" : undefined));
    socket.once(connected, () => {
      open = true;
      socket.write("PING\r\n");
    });
    socket.once("data", (chunk) => finish(chunk.toString("latin1")));
    socket.once("error", () => finish(open && connected === "connect" ? "" : undefined));
    socket.once("close", () => finish(open ? "" : undefined));
  });
}
