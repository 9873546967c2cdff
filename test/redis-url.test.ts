import { expect, it } from "vitest";
import { hostsOf, parseRedisUrl } from "../src/redis-url.ts";

it.each([
  ["redis://127.0.0.1", { kind: "single", nodes: [{ host: "127.0.0.1", port: 6379 }], tls: false, database: 0 }],
  ["redis://", { nodes: [{ host: "127.0.0.1", port: 6379 }] }],
  [
    "rediss://app:p%40ss:word@redis.example.com:6380/5",
    { tls: true, username: "app", password: "p@ss:word", database: 5 },
  ],
  ["redis://:secret@[::1]:6379/", { nodes: [{ host: "::1", port: 6379 }], username: undefined, password: "secret" }],
  [
    "rediss-cluster://app:x@a:7000,b,[::1]:7002",
    {
      ...{ kind: "cluster", tls: true, username: "app" },
      nodes: [
        { host: "a", port: 7000 },
        { host: "b", port: 6379 },
        { host: "::1", port: 7002 },
      ],
    },
  ],
  [
    "redis-sentinel://:x@a,b:1/my%20master/3?sentinelUsername=s&sentinelPassword=p%26q",
    {
      ...{ kind: "sentinel", name: "my master", database: 3, password: "x" },
      ...{ sentinelUsername: "s", sentinelPassword: "p&q" },
      nodes: [
        { host: "a", port: 26379 },
        { host: "b", port: 1 },
      ],
    },
  ],
])("%s", (url, expected) => {
  expect(parseRedisUrl(url)).toMatchObject(expected);
});

it.each([
  ["http://127.0.0.1", /must be a redis:\/\/ or rediss:\/\/ URL/],
  ["127.0.0.1:6379", /must be a redis:\/\//],
  ["redis://a:1,b:2", /must name one host: write redis-cluster:\/\/ or redis-sentinel:\/\//],
  ["redis://a:99999", /must name a host and a port, as in redis:\/\/127\.0\.0\.1:6379/],
  ["redis-cluster://a:1,:2", /must name a host and a port, as in redis-cluster:/],
  ["redis-cluster://a/1", /must not name a database/],
  ["redis-sentinel://a:26379", /must name the primary, as in redis-sentinel:/],
  ["redis-sentinel://a/mymaster/one", /number of a database/],
  ["redis://a/one", /must end in the number of a database, such as \/0/],
  ["redis://%zz:x@a", /percent-encoded/],
  ["redis-sentinel://a:26379/%zz", /percent-encoded/],
  ["redis://:p@ss@a", /write %40 for @/],
  ["redis://:p@ss:word/@127.0.0.1:6379", /write %40 for @/],
  ["rediss://:pa#ss@a:6380", /write %40 for @, %2F for \/, %23 for #/],
  ["redis://:pa/ss@a:6380/1", /percent-encoded password/],
])("%s is refused without repeating it", (url, message) => {
  expect(() => parseRedisUrl(url)).toThrow(message);
});

it("names hosts in messages without credentials", () => {
  expect(hostsOf(parseRedisUrl("redis-cluster://app:secret@[::1]:7000,b"))).toBe("[::1]:7000, b:6379");
});
