import { describe, expect, it } from "vitest";
import { loadConfig } from "../src/config.ts";
import { ConfigurationError } from "../src/errors.ts";

const required = {
  KINDE_DOMAIN: "acme.kinde.com",
  KINDE_MANAGEMENT_CLIENT_ID: "id",
  KINDE_MANAGEMENT_CLIENT_SECRET: "secret-value",
};

describe("the settings", () => {
  it("need little", () => {
    expect(loadConfig(required)).toMatchObject({
      domain: "https://acme.kinde.com",
      audience: "https://acme.kinde.com/api",
      redisUrl: "redis://127.0.0.1:6379",
      port: 3000,
      prefix: "kindling",
      flagsFile: "kindling.flags.ts",
      event: { maxAgeMs: 172_800_000, maxSkewMs: 300_000 },
    });
  });

  it("take empty for not set, as compose files give it", () => {
    expect(loadConfig({ ...required, PORT: "", KINDE_AUDIENCE: "" })).toMatchObject({ port: 3000 });
  });

  it.each([
    ["", { networks: [] }],
    ["2", { hops: 2 }],
    ["10.0.0.0/8, 127.0.0.1,2001:db8::/32", { networks: ["10.0.0.0/8", "127.0.0.1", "2001:db8::/32"] }],
  ])("read the trusted proxies %j", (KINDLING_TRUSTED_PROXIES, trustedProxies) => {
    expect(loadConfig({ ...required, KINDLING_TRUSTED_PROXIES }).http).toMatchObject({ trustedProxies });
  });

  it.each(["all", "10.0.0.0/33", "::/129", "10.0.0.1/8/8", "300.1.1.1", "-1", "10"])(
    "reject %j as trusted proxies",
    (KINDLING_TRUSTED_PROXIES) => {
      expect(() => loadConfig({ ...required, KINDLING_TRUSTED_PROXIES })).toThrow(/KINDLING_TRUSTED_PROXIES must list/);
    },
  );

  it("accept events of the domain, of the audience behind a custom domain, and of one further issuer", () => {
    const custom = { KINDE_DOMAIN: "auth.acme.com", KINDE_AUDIENCE: "https://acme.kinde.com/api" };
    expect(loadConfig({ ...required, ...custom, KINDE_ISSUER_URL: "https://x.example.com/" }).issuers).toEqual([
      "https://auth.acme.com",
      "https://acme.kinde.com",
      "https://x.example.com",
    ]);
    expect(loadConfig({ ...required, KINDE_AUDIENCE: "urn:kinde" }).issuers).toEqual(["https://acme.kinde.com"]);
  });

  it("say everything that is wrong at once, and never a secret", () => {
    const wrong = {
      KINDE_MANAGEMENT_CLIENT_SECRET: "secret-value",
      KINDE_DOMAIN: "http://acme.kinde.com",
      PORT: "99999",
      REDIS_URL: "http://localhost",
      KINDLING_PREFIX: "a b",
      KINDLING_RETRY_BASE: "soon",
      KINDLING_PROFILE: "account,everything",
      KINDLING_TOKEN_STORE: "disk",
    };
    const error = catchError(() => loadConfig(wrong));
    expect(error).toBeInstanceOf(ConfigurationError);
    const { problems, message } = error as ConfigurationError;
    expect(problems.map((problem) => problem.split(" ")[0]).sort()).toEqual([
      "KINDE_DOMAIN",
      "KINDE_MANAGEMENT_CLIENT_ID",
      "KINDLING_PREFIX",
      "KINDLING_PROFILE",
      "KINDLING_RETRY_BASE",
      "KINDLING_TOKEN_STORE",
      "PORT",
      "REDIS_URL",
    ]);
    expect(message).not.toContain("secret-value");
  });

  it.each([
    ["acme.kinde.com", "https://acme.kinde.com"],
    ["https://acme.kinde.com/", "https://acme.kinde.com"],
    ["http://127.0.0.1:4000", "http://127.0.0.1:4000"],
    ["http://localhost:4000", "http://localhost:4000"],
    ["http://[::1]:4000", "http://[::1]:4000"],
  ])("read the domain %s", (domain, origin) => {
    expect(loadConfig({ ...required, KINDE_DOMAIN: domain }).domain).toBe(origin);
  });

  it.each([
    "http://acme.kinde.com",
    "ftp://acme",
    "https://acme.kinde.com/path",
    "https://a:b@acme.kinde.com",
    "not a host",
    "http://127.evil.com",
  ])("refuse the domain %s", (domain) => {
    expect(() => loadConfig({ ...required, KINDE_DOMAIN: domain })).toThrow(/KINDE_DOMAIN/);
  });

  it.each([
    ["250ms", 250],
    ["10s", 10_000],
    ["5m", 300_000],
    ["48h", 172_800_000],
    ["2d", 172_800_000],
  ])("read the duration %s", (text, ms) => {
    expect(loadConfig({ ...required, KINDLING_RETRY_MAX: text }).retry.maxMs).toBe(ms);
  });
});

function catchError(task: () => unknown): unknown {
  try {
    task();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

it("ignores what Kubernetes sets for services named kindling…", () => {
  const links = {
    KINDLING_PORT: "tcp://10.0.0.1:80",
    KINDLING_SERVICE_HOST: "10.0.0.1",
    KINDLING_PORT_80_TCP_ADDR: "10.0.0.1",
    KINDLING_DASHBOARD_PORT: "tcp://10.0.0.2:3002",
    KINDLING_METRICS_PORT: "tcp://10.0.0.3:9464",
    KINDLING_OTHER_PORT: "udp://10.0.0.4:53",
  };
  expect(loadConfig({ ...required, ...links })).toEqual(loadConfig(required));
  const other = catchError(() => loadConfig({ ...required, KINDLING_DASHBOARD_PORT: "tcp" }));
  expect(String(other)).toContain("KINDLING_DASHBOARD_PORT");
});

describe("tokens and endpoints", () => {
  const value = "0123456789abcdef0123456789abcdef";
  const load = (env: Record<string, string>) => loadConfig({ ...required, ...env });

  it("are lists", () => {
    const secret = `whsec_${Buffer.alloc(32).toString("base64")}`;
    const config = load({
      KINDLING_API_TOKEN: `${value}=`,
      KINDLING_API_TOKENS: `web:read:${value}, jobs:write+read:x${value},`,
      KINDLING_CLIENT_IDS: "one, two",
      KINDLING_CORS_ORIGINS: "https://app.example.com,http://localhost:5173",
      KINDLING_PUSH_URLS: "https://a.example.com/hook?key=1,http://127.0.0.1:4000/",
      KINDLING_PUSH_SECRETS: `${secret} ${secret},${secret}`,
    });
    expect(config.api).toMatchObject({
      tokens: [
        { name: "KINDLING_API_TOKEN", scopes: new Set(["read", "write"]), value: `${value}=` },
        { name: "web", scopes: new Set(["read"]), value },
        { name: "jobs", scopes: new Set(["read", "write"]), value: `x${value}` },
      ],
      clientIds: new Set(["one", "two"]),
      corsOrigins: ["https://app.example.com", "http://localhost:5173"],
    });
    expect(config.push.endpoints).toEqual([
      { url: "https://a.example.com/hook?key=1", secrets: [secret, secret] },
      { url: "http://127.0.0.1:4000/", secrets: [secret] },
    ]);
    expect(config.changesKept).toBe(100_000);
    expect(load({}).changesKept).toBe(0);
    expect(load({ KINDLING_CHANGES_LENGTH: "7" }).changesKept).toBe(7);
  });

  it.each([
    ["KINDLING_API_TOKENS", `${value}`],
    ["KINDLING_API_TOKENS", `web:${value}`],
    ["KINDLING_API_TOKENS", `web:admin:${value}`],
    ["KINDLING_API_TOKENS", `web:read:short`],
    ["KINDLING_API_TOKENS", `web:read:${value},web:read:x${value}`],
    ["KINDLING_API_TOKENS", `web:read:${value},jobs:write:${value}`],
    ["KINDLING_CLIENT_IDS", "a b"],
    ["KINDLING_CORS_ORIGINS", "*"],
    ["KINDLING_CORS_ORIGINS", "https://app.example.com/"],
    ["KINDLING_CORS_ORIGINS", "app.example.com"],
    ["KINDLING_PUSH_URLS", "http://a.example.com/"],
    ["KINDLING_PUSH_URLS", "https://user:pass@a.example.com/"],
    ["KINDLING_PUSH_URLS", "a.example.com"],
    ["KINDLING_PUSH_SECRETS", "secret"],
    ["KINDLING_PUSH_SECRETS", `whsec_${"a".repeat(40)}`],
  ])("refuse %s=%s without repeating it", (name, text) => {
    const error = catchError(() => load({ [name]: text }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(String(error)).toContain(name);
    expect(String(error)).not.toContain(value);
  });

  it.each([`web:read:${value}`, `KINDLING_API_TOKEN:read:x${value}`])("refuse %s beside the single token", (text) => {
    const error = catchError(() => load({ KINDLING_API_TOKEN: value, KINDLING_API_TOKENS: text }));
    expect(String(error)).toContain("KINDLING_API_TOKENS must not repeat the token or the name of KINDLING_API_TOKEN");
    expect(String(error)).not.toContain(value);
  });

  it("need a secret for each URL", () => {
    expect(() => load({ KINDLING_PUSH_URLS: "https://a.example.com/" })).toThrow(/one secret for each URL/);
  });
});
