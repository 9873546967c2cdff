import { readFileSync } from "node:fs";
import { Redis } from "ioredis";
import { afterEach, expect, it } from "vitest";
import { testRedisUrl } from "../support/redis-url.ts";
import { type Stack, startStack, uniquePrefix } from "../support/stack.ts";
import { until } from "../support/until.ts";

const token = "reading.0123456789abcdef0123456789";
let stack: Stack | undefined;
let admin: Redis;
const prefix = uniquePrefix();

afterEach(async () => {
  await stack?.close();
  await admin.acl("DELUSER", prefix);
  admin.disconnect();
});

it("serves reads that wait, streams and deliveries of changes with the documented Redis user", async () => {
  const page = readFileSync(new URL("../../docs/security.md", import.meta.url), "utf8");
  const [, rule = ""] = /ACL SETUSER kindling (reset [\s\S]*?)\n```/.exec(page) ?? [];
  const words = rule.replace(/\\\n/g, " ").match(/'[^']*'|\S+/g) ?? [];
  admin = new Redis(testRedisUrl());
  await admin.acl("SETUSER", prefix, ...words.map((word) => word.replaceAll("'", "").replaceAll("kindling", prefix)));
  const url = new URL(testRedisUrl());
  url.username = prefix;
  url.password = "choose-a-password";
  stack = await startStack({
    redisUrl: url.href,
    env: {
      KINDLING_PREFIX: prefix,
      KINDLING_API_TOKENS: `reader:read:${token}`,
      KINDLING_PUSH_URLS: "http://127.0.0.1:9/",
      KINDLING_PUSH_SECRETS: `whsec_${Buffer.alloc(32).toString("base64")}`,
    },
  });
  const { webhookUrl, emulator } = stack;
  const { id } = emulator.kinde.createUser({ properties: { plan_tier: "pro" } });
  const ask = (path: string, init?: RequestInit) =>
    fetch(new URL(path, webhookUrl), { ...init, headers: { authorization: `Bearer ${token}` } });
  // On a busy machine, the first commands of a new connection can take longer than a read allows.
  await until(async () => expect(await (await ask("/v1/users/kp_0/flags?wait=0")).json()).toHaveProperty("complete"));
  const read = await ask(`/v1/users/${id}/flags?maxAge=0&wait=9000`);
  expect(await read.json()).toMatchObject({ status: "present", flags: { tier: "pro" } });
  expect(await admin.xlen(`${prefix}:changes`)).toBe(1);
  const queue = stack.store.queues.pushes[0]?.queue;
  await until(async () => expect(await queue?.getJobCountByTypes()).toBe(1));
  const response = await ask(`/v1/flags/stream?user=${id}`);
  let text = "";
  const reading = (async () => {
    for await (const piece of response.body ?? []) text += new TextDecoder().decode(piece as Uint8Array);
  })().catch(() => undefined);
  await until(() => expect(text).toContain('"tier":"pro"'));
  emulator.kinde.setProperties(id, { plan_tier: "free" });
  await ask(`/v1/users/${id}/refresh?wait=9000`, { method: "POST" });
  await until(() => expect(text).toContain('"tier":"free"'));
  await stack.close();
  stack = undefined;
  await reading;
});
