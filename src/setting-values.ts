import { isIP } from "node:net";
import { type ProfilePart, profileParts } from "kindling/contract";
import { z } from "zod";
import { parseRedisUrl, RedisUrlError } from "./redis-url.ts";

/** Milliseconds of each unit of a duration. */
export const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Node fires a timer longer than this immediately. */
const longestTimer = 2 ** 31 - 1;

/** A duration such as `250ms`, in milliseconds. */
export const duration = (fallback: string, { min = 1, max = longestTimer }: { min?: number; max?: number } = {}) =>
  z
    .string()
    .regex(/^\d+(ms|s|m|h|d)$/, "must be a duration such as 250ms, 10s, 5m, 48h or 30d")
    .default(fallback)
    .transform((text) => Number.parseInt(text, 10) * units[text.replace(/\d+/, "") as keyof typeof units])
    .refine((ms) => ms >= min, `must be at least ${min}ms`)
    .refine((ms) => ms <= max, `must be at most ${Math.floor(max / units.h)}h`);

/** A whole number. */
export const count = (fallback: number, { min = 1, max = 1_000_000_000 }: { min?: number; max?: number } = {}) =>
  z
    .string()
    .regex(/^\d+$/, "must be a whole number")
    .default(String(fallback))
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be from ${min} to ${max}`);

/** A number from 0 to 1. */
export const share = (fallback: number) =>
  z
    .string()
    .regex(/^(0(\.\d+)?|1(\.0+)?)$/, "must be a number from 0 to 1, such as 0.01")
    .default(String(fallback))
    .transform(Number);

/** `true` or `false`. */
export const flag = (fallback: boolean) =>
  z
    .enum(["true", "false"], "must be true or false")
    .default(fallback ? "true" : "false")
    .transform((text) => text === "true");

/** Hosts for which plain http is accepted. */
export const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** The origin of a Kinde domain. */
export const domain = z
  .string("is missing: set it to your Kinde domain, e.g. https://acme.kinde.com")
  .transform((text, context) => {
    const url = parseUrl(text);
    const problem =
      url === null
        ? "is neither a host nor a URL"
        : url.protocol !== "https:" && url.protocol !== "http:"
          ? "must be a host, or a URL with https"
          : url.protocol === "http:" && !loopback.test(url.hostname)
            ? "must use https (plain http only for loopback)"
            : url.username || url.password || url.search || url.hash || url.pathname !== "/"
              ? "must be the bare domain, with no path, query or credentials"
              : undefined;
    if (problem !== undefined || url === null) {
      context.addIssue({ code: "custom", message: problem ?? "is not a URL" });
      return z.NEVER;
    }
    return url.origin;
  });

// `URL.parse` needs Node 22.
function parseUrl(text: string): URL | null {
  try {
    return new URL(text.includes("://") ? text : `https://${text}`);
  } catch {
    return null;
  }
}

/** The URL of a Redis, a cluster or Sentinels. */
export const redisUrl = z.string().superRefine((text, context) => {
  try {
    parseRedisUrl(text);
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
});

/** Parts of a profile. */
export const parts = z
  .string()
  .default(profileParts.filter((part) => part !== "identities").join(","))
  .transform((text) => text.split(",").map((part) => part.trim()))
  .pipe(z.array(z.enum(profileParts, `must be a comma-separated list of ${profileParts.join(", ")}`)))
  .transform((list): ReadonlySet<ProfilePart> => new Set(list));

/** Addresses of proxies, or their number. */
export const trustedProxies = z
  .string()
  .default("")
  .transform((text) => text.split(",").map((entry) => entry.trim()))
  .transform((entries, context): { networks: readonly string[] } | { hops: number } => {
    const [first = ""] = entries;
    if (entries.length === 1 && /^\d$/.test(first)) return { hops: Number(first) };
    const networks = entries.filter((entry) => entry !== "");
    if (networks.every(isNetwork)) return { networks };
    const message = "must list addresses or CIDR ranges such as 10.0.0.0/8, or be the number of proxies, at most 9";
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });

function isNetwork(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 6 ? 128 : 32));
}

/** Comma-separated values, each valid by `item`; empty by default. */
export const listOf = <T>(item: z.ZodType<T, string>, max: number) =>
  z
    .string()
    .default("")
    .transform((text) => text.split(",").flatMap((part) => part.trim() || []))
    .pipe(z.array(item).max(max, `must name at most ${max}`));

/** The syntax of a bearer token: RFC 6750, section 2.1. */
export const bearerToken = z
  .string()
  .regex(/^[A-Za-z0-9._~+/-]{32,}=*$/, "must be 32 or more letters, digits or . _ ~ + / -");

/** What tokens of the API can allow. */
export const scopes = ["read", "write"] as const;
/** What a service token allows. */
export type Scope = (typeof scopes)[number];

/** A token of Kindling's own API. Several can be valid at once, so that one can be replaced without downtime. */
export interface ApiToken {
  /** Identifies the token in the log. */
  name: string;
  scopes: ReadonlySet<Scope>;
  value: string;
}

const namedTokenForm = "must be a list of name:scope:token, where scope is read, write or read+write";
const namedToken = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}:(read|write)(\+(read|write))?:[^:]+$/, namedTokenForm)
  .transform((text): ApiToken => {
    const [name = "", granted = "", value = ""] = text.split(":");
    return { name, scopes: new Set(scopes.filter((scope) => granted.split("+").includes(scope))), value };
  })
  .refine(
    ({ value }) => bearerToken.safeParse(value).success,
    "must have tokens of 32 or more letters, digits or . _ ~ + / -",
  );

/** Tokens of the API, by name. */
export const namedTokens = listOf(namedToken, 50).refine(
  (tokens) =>
    new Set(tokens.map(({ name }) => name)).size === tokens.length &&
    new Set(tokens.map(({ value }) => value)).size === tokens.length,
  "must not repeat a name or a token",
);

/** The origin of a web page. */
export const origin = z
  .string()
  .refine(
    (text) => URL.canParse(text) && new URL(text).origin === text,
    "must list origins such as https://app.example.com",
  );

const roles = ["view", "operate"] as const;
/** What an operator of the dashboard can do: look, or also act. */
export type Role = (typeof roles)[number];

/** A token that signs in to the dashboard. */
export interface DashboardToken {
  /** Identifies the operator in the log of actions. */
  name: string;
  role: Role;
  value: string;
}

/** Tokens of operators, by name. */
export const dashboardTokens = listOf(
  z
    .string()
    .regex(
      /^[A-Za-z0-9_-]{1,64}:(view|operate):[A-Za-z0-9._~+/-]{32,}=*$/,
      "must be a list of name:role:token, where role is view or operate and a token has 32 or more letters, digits or . _ ~ + / -",
    )
    .transform((text): DashboardToken => {
      const [name = "", role, value = ""] = text.split(":");
      return { name, role: role === "operate" ? "operate" : "view", value };
    }),
  50,
).refine(
  (tokens) =>
    new Set(tokens.map(({ name }) => name)).size === tokens.length &&
    new Set(tokens.map(({ value }) => value)).size === tokens.length,
  "must not repeat a name or a token",
);

/** The origin of the dashboard. */
export const dashboardUrl = z.string().refine((text) => {
  const url = text.includes("://") ? parseUrl(text) : null;
  const secure = url?.protocol === "https:" || (url?.protocol === "http:" && loopback.test(url.hostname));
  return secure && url?.origin === text.replace(/\/$/, "");
}, "must be an origin such as https://kindling.example.com (plain http only for loopback)");

/** The URL of an endpoint that flags are pushed to. */
export const pushUrl = z.string().refine((text) => {
  const url = text.includes("://") ? parseUrl(text) : null;
  const secure = url?.protocol === "https:" || (url?.protocol === "http:" && loopback.test(url.hostname));
  return secure && url?.username === "" && url.password === "";
}, "must list https URLs without credentials (plain http only for loopback)");

/** Secrets of one endpoint, of which any can verify. */
export const pushSecrets = z
  .string()
  .transform((text) => text.split(/ +/))
  // Of 24 to 64 bytes: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
  .pipe(
    z.array(
      z.string().regex(/^whsec_(?=.{32,88}$)[A-Za-z0-9+/]+={0,2}$/, "must list secrets, whsec_ followed by base64"),
    ),
  );
