/** What a Redis URL says. */
export interface RedisTarget {
  /** `cluster`: `nodes` lead to all masters. `sentinel`: `nodes` are Sentinels, which know the primary called `name`. */
  kind: "single" | "cluster" | "sentinel";
  nodes: readonly RedisNode[];
  tls: boolean;
  username: string | undefined;
  password: string | undefined;
  database: number;
  /** The primary's name at the Sentinels. */
  name: string | undefined;
  sentinelUsername: string | undefined;
  sentinelPassword: string | undefined;
}

/** A server of a Redis URL. */
export interface RedisNode {
  host: string;
  port: number;
}

/** Why a text is no Redis URL. The message says what it must be. */
export class RedisUrlError extends Error {}

// Not a URL of the URL standard, which knows one host only.
const form = /^(rediss?)(?:-(cluster|sentinel))?:\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const nodeForm = /^(\[[\da-f:.]+\]|[^\s:[\]]+)?(?::(\d{1,5}))?$/i;
const defaultPorts = { single: 6379, cluster: 6379, sentinel: 26_379 } as const;
const examples = {
  single: "redis://127.0.0.1:6379/0",
  cluster: "redis-cluster://10.0.0.1:6379,10.0.0.2:6379",
  sentinel: "redis-sentinel://10.0.0.1:26379,10.0.0.2:26379/mymaster",
} as const;

/**
 * Parses the URL of one Redis, of a cluster or of a primary that Sentinels watch:
 *
 * - `redis://[<user>:<password>@]<host>[:<port>][/<database>]`
 * - `redis-cluster://[<user>:<password>@]<host>[:<port>][,<host>[:<port>]…]`
 * - `redis-sentinel://[<user>:<password>@]<host>[:<port>][,…]/<name>[/<database>][?sentinelUsername=…&sentinelPassword=…]`
 *
 * With `rediss` in place of `redis`, connections use TLS.
 *
 * @throws {RedisUrlError} if the text has none of these forms
 */
export function parseRedisUrl(text: string): RedisTarget {
  const [, scheme, mode, credentials, hosts = "", path = "", query = ""] = form.exec(text) ?? [];
  // An unencoded character of the password ends the host too early.
  if (/^rediss?(-cluster|-sentinel)?:\/\/.*@/.test(text) && (scheme === undefined || path.includes("@"))) {
    throw new RedisUrlError(
      "must have a percent-encoded password: write %40 for @, %2F for /, %23 for # and %3F for ?",
    );
  }
  if (scheme === undefined) {
    throw new RedisUrlError(
      `must be a redis:// or rediss:// URL, or redis-cluster:// or redis-sentinel:// for several hosts`,
    );
  }
  const kind = mode === "cluster" || mode === "sentinel" ? mode : "single";
  const nodes = hosts.split(",").map((host) => parseNode(host, kind));
  if (kind === "single" && nodes.length > 1) {
    throw new RedisUrlError(`must name one host: write redis-cluster:// or redis-sentinel:// for several`);
  }
  const [username, password] = parseCredentials(credentials);
  const parameters = new URLSearchParams(query);
  return {
    kind,
    nodes,
    tls: scheme === "rediss",
    username,
    password,
    ...parsePath(path, kind),
    sentinelUsername: parameters.get("sentinelUsername") ?? undefined,
    sentinelPassword: parameters.get("sentinelPassword") ?? undefined,
  };
}

/** Returns the hosts of a Redis URL, for messages. */
export function hostsOf({ nodes }: Pick<RedisTarget, "nodes">): string {
  return nodes.map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`).join(", ");
}

function parseNode(text: string, kind: RedisTarget["kind"]): RedisNode {
  const match = nodeForm.exec(text);
  const port = Number(match?.[2] ?? defaultPorts[kind]);
  if (match === null || port > 65_535 || (kind !== "single" && match[1] === undefined)) {
    throw new RedisUrlError(`must name a host and a port, as in ${examples[kind]}`);
  }
  return { host: match[1]?.replace(/^\[|\]$/g, "") ?? "127.0.0.1", port };
}

function parseCredentials(text = ""): [username: string | undefined, password: string | undefined] {
  const [username = "", ...rest] = text.split(":");
  return [decode(username) || undefined, decode(rest.join(":")) || undefined];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RedisUrlError("must have a percent-encoded user name, password and name of the primary");
  }
}

function parsePath(path: string, kind: RedisTarget["kind"]): Pick<RedisTarget, "name" | "database"> {
  const [first = "", second = "", ...rest] = path.split("/");
  const [name, database] = kind === "sentinel" ? [first, second] : [undefined, first];
  if (name === "") throw new RedisUrlError(`must name the primary, as in ${examples.sentinel}`);
  if (!/^\d{0,5}$/.test(database) || rest.length > 0 || (kind !== "sentinel" && second !== "")) {
    throw new RedisUrlError("must end in the number of a database, such as /0");
  }
  if (kind === "cluster" && Number(database) !== 0) {
    throw new RedisUrlError("must not name a database: a cluster has only database 0");
  }
  return { name: name === undefined ? undefined : decode(name), database: Number(database) };
}
