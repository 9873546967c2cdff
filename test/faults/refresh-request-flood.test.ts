import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import type { Emulator } from "kinde-emulator";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EmbeddedRedis, startEmbeddedRedis } from "../../src/demo/embedded-redis.ts";
import { mostRequests } from "../../src/redis/refresh-requests.ts";
import { envOf } from "../cli/command-line.ts";
import { documentedAcls, urlOfUser } from "../support/acl.ts";
import { startEmulator } from "../support/emulator.ts";
import { useProcesses } from "../support/processes.ts";
import { testUser } from "../support/signer.ts";
import { type Stack, startStack, testConfig } from "../support/stack.ts";
import { until } from "../support/until.ts";

const processes = useProcesses();
let server: EmbeddedRedis;
let admin: Redis;
/** A connection of the documented Redis user of app servers. */
let app: Redis;

beforeEach(async () => {
  server = await startEmbeddedRedis();
  admin = new Redis(server.url);
  const acl = documentedAcls.find(
    ({ file, rules }) =>
      file === "docs/security.md" && rules.includes("+zadd") && rules.includes("%R~kindling:flags:*"),
  );
  if (acl === undefined) throw new Error("The documentation has no line for app servers that request refreshes.");
  await admin.call("ACL", "SETUSER", acl.user, ...acl.rules);
  app = new Redis(urlOfUser(server.url, acl));
});

afterEach(async () => {
  app.disconnect();
  admin.disconnect();
  await server.close();
});

describe("a flood of refresh requests", () => {
  let stack: Stack;

  beforeEach(async () => {
    stack = await startStack({
      redisUrl: server.url,
      env: { KINDLING_PREFIX: "kindling", KINDLING_CALLS_PER_MINUTE: "1200", KINDLING_CALLS_AT_ONCE: "20" },
    });
    stack.subscribe();
  });

  afterEach(() => stack.close());

  it.each(["now", "later"] as const)(
    "for %s delays no event and stays bounded in jobs and memory",
    async (urgency) => {
      const { emulator, store } = stack;
      const key = store.keys.refreshRequests[urgency];
      const usedMemory = async () => Number(/used_memory:(\d+)/.exec(await admin.info("memory"))?.[1]);
      const before = await usedMemory();
      const mostJobs = { seen: 0 };
      const watching = new AbortController();
      const watch = (async () => {
        while (!watching.signal.aborted) {
          const counts = await Promise.all(
            [store.queues.requests, store.queues.refresh, store.queues.bulk].map((queue) =>
              queue.getJobCountByTypes("waiting", "prioritized", "active", "delayed"),
            ),
          );
          mostJobs.seen = Math.max(mostJobs.seen, ...counts);
          // A sample now and then: nothing announces a peak.
          await delay(20, undefined, { signal: watching.signal }).catch(() => undefined);
        }
      })();

      const flood = 100_000;
      for (let n = 0; n < flood; n += 10_000) {
        const ids = Array.from({ length: 10_000 }, (_, i) => [Date.now(), testUser(n + i)]).flat();
        await app.zadd(key, "GT", ...(ids as [number, string]));
      }
      await until(async () => expect(await admin.zcard(key)).toBeLessThanOrEqual(mostRequests));
      await until(async () => expect(await store.queues.requests.getJobCountByTypes("active")).toBeGreaterThan(0));

      for (let n = 0; n < 3; n += 1) {
        const started = performance.now();
        const { id } = emulator.kinde.createUser({});
        await until(async () => expect(await stack.record(id)).toMatchObject({ status: "present" }), 5_000);
        expect(performance.now() - started).toBeLessThan(5_000);
      }
      // The others are not starved either: a sweep's refreshes have at least half of the rate.
      const [imported] = emulator.kinde.importUsers([{}]);
      await store.queues.enqueueReprocess([String(imported?.id)]);
      await until(async () => expect(await stack.record(String(imported?.id))).not.toBeNull());

      watching.abort();
      await watch;
      expect(mostJobs.seen).toBeLessThanOrEqual(250);
      expect(mostJobs.seen).toBeGreaterThan(20);
      const { overflow = 0 } = await store.droppedRefreshRequests.read();
      expect(overflow).toBeGreaterThanOrEqual(flood - mostRequests - 5_000);
      expect((await usedMemory()) - before).toBeLessThan(20_000_000);
    },
    60_000,
  );
});

describe("members of megabytes", () => {
  let emulator: Emulator;

  beforeEach(async () => {
    emulator = await startEmulator();
  });

  afterEach(() => emulator.close());

  it("are dropped without growing the worker, which goes on", async () => {
    const config = testConfig(emulator, { KINDLING_PREFIX: "kindling" }, server.url);
    const worker = await processes.worker({ ...envOf(config), KINDLING_LOG_LEVEL: "info" });
    const peak = () =>
      Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${worker.child.pid}/status`, "utf8"))?.[1]) / 1024;
    const requests = "{kindling:refresh-requests}:now";
    const [first, second] = emulator.kinde.importUsers([{}, {}]);
    const isHeld = async (id = "") => (await admin.exists(`kindling:flags:{${id}}`)) === 1;
    // Warm: with its code loaded and a first user refreshed.
    await app.zadd(requests, 1, String(first?.id));
    await until(async () => expect(await isHeld(first?.id)).toBe(true));
    const before = peak();

    const huge = "x".repeat(5_000_000);
    // At once, and one by one, so that both the blocking command and the script meet them.
    await app.zadd(requests, ...Array.from({ length: 20 }, (_, n) => [1, `${n}${huge}`]).flat());
    for (let n = 20; n < 40; n += 1) await app.zadd(requests, 1, `${n}${huge}`);
    await until(async () => expect(await admin.zcard(requests)).toBe(0));
    await app.zadd(requests, 1, String(second?.id));
    await until(async () => expect(await isHeld(second?.id)).toBe(true));

    expect(peak() - before).toBeLessThan(60);
    await until(async () =>
      expect(Number(await admin.hget("{kindling:refresh-requests}:dropped", "oversize"))).toBe(40),
    );
  }, 60_000);
});
