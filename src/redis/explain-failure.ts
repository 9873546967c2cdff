import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { connectionProblem, RedisError } from "../errors.ts";
import { hostsOf, parseRedisUrl, type RedisNode, type RedisTarget } from "../redis-url.ts";

const wrongDatabase = /DB index|invalid DB/i;
const deniedDatabase = /NOPERM.*'select'/i;
const noCluster = /cluster support disabled/;

/**
 * Answers of Redis that no further attempt changes: the password or the database number is wrong, its user may not choose a
 * database, or it is no cluster.
 */
export function isWrongSetting(error: unknown): boolean {
  const cause = causeOf(error);
  return (
    cause instanceof Error &&
    (/(WRONGPASS|NOAUTH|invalid password)/.test(cause.message) ||
      wrongDatabase.test(cause.message) ||
      deniedDatabase.test(cause.message) ||
      noCluster.test(cause.message))
  );
}

// A cluster client fails with one error for all nodes.
function causeOf(error: unknown): unknown {
  return error instanceof Error && "lastNodeError" in error ? error.lastNodeError : error;
}

/** Options for {@link explainRedisFailure}. */
export interface ExplainOptions {
  url: string;
  /** The setting that has the URL. Default `REDIS_URL`. */
  setting?: string;
  /** How long Redis was waited for, in milliseconds. */
  timeoutMs: number;
}

/**
 * Returns the error that names the host and the cause of a connection that did not become ready, and what to do.
 *
 * @param error The last error of the connection; `undefined` if it ended without one
 */
export async function explainRedisFailure(
  error: unknown,
  { url, setting = "REDIS_URL", timeoutMs }: ExplainOptions,
): Promise<RedisError> {
  const target = parseRedisUrl(url);
  const cause = causeOf(error);
  const reason =
    answerProblem(target, cause) ??
    (await protocolProblem(target, Math.min(timeoutMs, longestProbeMs))) ??
    (await unreachable(target, cause, timeoutMs));
  const message = `${placeOf(target)} ${reason.replaceAll("REDIS_URL", setting)}`;
  return new RedisError("redis_unavailable", message, { cause: error });
}

function placeOf(target: RedisTarget): string {
  const words = {
    single: "Redis at",
    cluster: "The Redis Cluster at",
    sentinel: `Redis ${target.name} behind the Sentinels at`,
  };
  return `${words[target.kind]} ${hostsOf(target)}`;
}

function answerProblem({ username, database, kind }: RedisTarget, cause: unknown): string | undefined {
  const text = cause instanceof Error ? cause.message : "";
  const user = username === undefined ? "" : ` of the user ${username}`;
  if (/WRONGPASS|invalid password/.test(text)) return `refuses the password${user}: correct REDIS_URL.`;
  if (/NOAUTH/.test(text)) {
    return "requires a password: write it into REDIS_URL, as in redis://:<password>@host, or use REDIS_URL_FILE.";
  }
  if (noCluster.test(text)) return "is not a cluster: write redis:// in REDIS_URL.";
  if (wrongDatabase.test(text)) {
    return `has no database ${database}: correct the number at the end of REDIS_URL, or raise \`databases\` in redis.conf.`;
  }
  const denied = /NOPERM.*?(?:run the '([^']+)'|command)/.exec(text);
  if (denied !== null) {
    return `denies the command ${(denied[1] ?? "").toUpperCase()}${user}: use the ACL rules of docs/security.md.`;
  }
  if (/^LOADING/.test(text)) return "is still loading its data: try again in a moment.";
  if (/DENIED/.test(text)) return "runs in protected mode: set a password in redis.conf.";
  if (/max number of clients/.test(text)) return "has no connection left: raise `maxclients` in redis.conf.";
  if (kind === "sentinel" && /No such master|All sentinels are unreachable(?!.*Last error)/.test(text)) {
    return "is not known to them: correct the name at the end of REDIS_URL, or the Sentinels' configuration.";
  }
  return cause instanceof Error && cause.name === "ReplyError" ? `refuses the connection: ${text}.` : undefined;
}

async function unreachable({ nodes }: RedisTarget, cause: unknown, timeoutMs: number): Promise<string> {
  // Clients of clusters and Sentinels do not say why a node is unreachable.
  const problem =
    connectionProblem(cause) ?? connectionProblem(await connectError(nodes[0], Math.min(timeoutMs, longestProbeMs)));
  if (problem !== undefined) return `cannot be reached: ${problem}. Check that Redis is running, or correct REDIS_URL.`;
  return `did not answer within ${timeoutMs} ms: start it, or correct REDIS_URL.`;
}

function connectError(node: RedisNode | undefined, timeoutMs: number): Promise<unknown> {
  if (node === undefined) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const socket = connectPlain(node);
    const end = (error?: unknown) => {
      socket.destroy();
      resolve(error);
    };
    socket.once("connect", () => end());
    socket.once("error", end);
    socket.setTimeout(timeoutMs, () => end());
  });
}

const longestProbeMs = 1_000;

/** Finds out whether the server speaks TLS where the URL says plain TCP, or the reverse. Both look like silence. */
async function protocolProblem({ nodes, tls }: RedisTarget, timeoutMs: number): Promise<string | undefined> {
  const [target] = nodes;
  if (target === undefined) return undefined;
  if (tls) {
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
