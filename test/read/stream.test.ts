import { type AddressInfo, connect } from "node:net";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { createAdaptorServer } from "@hono/node-server";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { ClientProviderEvents, type Provider, OpenFeature as WebOpenFeature } from "@openfeature/web-sdk";
import { Redis } from "ioredis";
import { createKindling } from "kindling";
import { blankProfile } from "kindling/contract";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createStreamKeys } from "../../src/read/stream-keys.ts";
import { streamRoutes } from "../../src/read/stream-routes.ts";
import { createStreams, maxStreamsOfUser, type StreamsOptions } from "../../src/read/streams.ts";
import type { RedisClient } from "../../src/redis/client.ts";
import { testRedisUrl } from "../support/redis-url.ts";
import { testUser } from "../support/signer.ts";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { clientId, userToken } from "../support/user-tokens.ts";
import { startWire } from "../support/wire.ts";
import definitions from "./kindling.flags.ts";

const service = "reading.0123456789abcdef0123456789";
let stack: Stack;
let id: string;
const opened: AbortController[] = [];

async function start(options: StackOptions = {}) {
  stack = await startStack({
    ...options,
    env: {
      KINDLING_API_TOKENS: `reader:read:${service}`,
      KINDLING_CLIENT_IDS: clientId,
      KINDLING_STREAM_HEARTBEAT: "1s",
      KINDLING_FLAGS: fileURLToPath(new URL("kindling.flags.ts", import.meta.url)),
      ...options.env,
    },
  });
  id = stack.emulator.kinde.createUser({ properties: { plan_tier: "free" } }).id;
}

beforeEach(async ({ task }) => {
  if (!task.name.startsWith("alone")) await start();
});

afterEach(async () => {
  for (const controller of opened.splice(0)) controller.abort();
  await stack.close();
});

interface Event {
  id: string;
  data: { type: string; etag: string; flags: Record<string, unknown>; status: string };
}

/** Opens a stream and collects its events and its raw text. */
async function open(query = `?user=${id}`, headers: Record<string, string> = { authorization: `Bearer ${service}` }) {
  const controller = new AbortController();
  opened.push(controller);
  const response = await fetch(new URL(`/v1/flags/stream${query}`, stack.webhookUrl), {
    headers,
    signal: controller.signal,
  });
  const stream = { response, text: "", ended: false, events: [] as Event[], close: () => controller.abort() };
  if (response.status !== 200) return stream;
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const piece of response.body ?? []) {
      stream.text += decoder.decode(piece as Uint8Array, { stream: true });
      stream.events = stream.text.split("\n\n").flatMap((block) => {
        const [, eventId, data] = /^id: (.+)\ndata: (.+)$/.exec(block) ?? [];
        return data === undefined ? [] : [{ id: String(eventId), data: JSON.parse(data) }];
      });
    }
  };
  read()
    .catch(() => undefined)
    .finally(() => {
      stream.ended = true;
    });
  return stream;
}

/** Streams without a server, whose clients read only when a test does. */
function openStreams(
  heartbeatMs: number,
  redis: RedisClient = stack.store.redis,
  others: Partial<Pick<StreamsOptions, "connect" | "onError">> = {},
) {
  const { records } = stack.store;
  const streams = createStreams({
    connect: () => new Redis(stack.config.redisUrl),
    prefix: stack.config.prefix,
    reader: createKindling<Record<string, unknown>>({ redis, definitions, prefix: stack.config.prefix }),
    ticketOf: async (userId) => (await records.tickets([userId]))[0] ?? 0,
    maxStreams: 10,
    heartbeatMs,
    now: Date.now,
    onError: (error) => expect.unreachable(String(error)),
    ...others,
  });
  const commit = async (tier: string) => {
    const ticket = (await stack.store.ledger.begin("kp_0")).ticket;
    const record = { flags: { tier }, status: "present", fetchedAt: Date.now(), ticket, schema: "x" } as const;
    await records.commit(record, blankProfile(id));
  };
  return { streams, commit };
}

/** The route of {@link openStreams}, and the path of a stream of the user's. */
function openRoutes(heartbeatMs: number) {
  const { streams } = openStreams(heartbeatMs);
  const streamKeys = createStreamKeys({ secret: new Uint8Array(32), now: Date.now });
  const refuse = () => expect.unreachable();
  const app = streamRoutes({ streams, streamKeys, authenticate: () => refuse, refuse });
  return { streams, app, path: streamKeys.pathOf({ userId: id }) };
}

/** On a busy machine, the answer can be 503: Redis did not answer in time. */
const refresh = () =>
  until(async () => {
    const { status } = await fetch(new URL(`/v1/users/${id}/refresh?wait=9000`, stack.webhookUrl), {
      method: "POST",
      headers: { authorization: `Bearer ${service}` },
    });
    expect(status).toBe(200);
  });
const setTier = async (tier: string) => {
  stack.emulator.kinde.setProperties(id, { plan_tier: tier });
  await refresh();
};
const tiers = ({ events }: { events: Event[] }) => events.map(({ data }) => data.flags.tier);

describe("GET /v1/flags/stream", () => {
  it("sends the values at once and whenever they change, and no others", async () => {
    await refresh();
    const stream = await open();
    expect(stream.response.headers.get("content-type")).toBe("text/event-stream");
    expect(stream.response.headers.get("cache-control")).toBe("no-store");
    await until(() => expect(tiers(stream)).toEqual(["free"]));
    await refresh();
    await refresh();
    await setTier("pro");
    await until(() => expect(tiers(stream)).toEqual(["free", "pro"]));
    expect(stream.events[1]?.data).toMatchObject({
      type: "refetchEvaluation",
      etag: expect.stringMatching(/^W\//),
      status: "present",
    });
    expect(Number(stream.events[1]?.id.split("-")[0])).toBeGreaterThan(Number(stream.events[0]?.id.split("-")[0]));
  });

  it("resumes after the last event the client has seen", async () => {
    await refresh();
    const first = await open();
    await until(() => expect(first.events).toHaveLength(1));
    first.close();
    const headers = { authorization: `Bearer ${service}`, "last-event-id": String(first.events[0]?.id) };
    const second = await open(undefined, headers);
    await until(() => expect(second.text).toContain(":\n\n"));
    await setTier("pro");
    await until(() => expect(tiers(second)).toEqual(["pro"]));
    const third = await open(undefined, headers);
    await until(() => expect(tiers(third)).toEqual(["pro"]));
    const strange = await open(undefined, { ...headers, "last-event-id": "x\u00e9".repeat(9) });
    await until(() => expect(tiers(strange)).toEqual(["pro"]));
  });

  it("accepts the user's token, and the key that OFREP's answer names", async () => {
    await refresh();
    const token = await userToken(stack.emulator, id);
    const mine = await open("", { authorization: `Bearer ${token}` });
    await until(() => expect(tiers(mine)).toEqual(["free"]));
    const response = await fetch(new URL("/ofrep/v1/evaluate/flags", stack.webhookUrl), {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: "{}",
    });
    const { eventStreams } = (await response.json()) as { eventStreams: { endpoint: { requestUri: string } }[] };
    const keyed = await open(eventStreams[0]?.endpoint.requestUri.replace("/v1/flags/stream", ""), {});
    await until(() => expect(tiers(keyed)).toEqual(["free"]));
  });

  it("sends what the user's token says until a record exists", async () => {
    const user_properties = { plan_tier: { v: "pro" } };
    const token = await userToken(stack.emulator, testUser(8), { user_properties });
    const told = await open("", { authorization: `Bearer ${token}` });
    const untold = await open(`?user=${testUser(8)}`);
    await until(() => expect([tiers(told), tiers(untold)]).toEqual([["pro"], ["free"]]));
  });

  it("ends when the user's token expires", async () => {
    const token = await userToken(stack.emulator, id, { exp: Math.floor(Date.now() / 1000) + 2 });
    const stream = await open("", { authorization: `Bearer ${token}` });
    expect(stream.response.status).toBe(200);
    await until(() => expect(stream.ended).toBe(true));
  });

  it("rejects invalid keys and users", async () => {
    const { response: withoutUser } = await open("");
    expect(withoutUser.status).toBe(400);
    expect((await open("?user=x")).response.status).toBe(400);
    for (const key of ["", "x", `${id}.999999.`, `${id}.999999.AAAA`]) {
      const { response } = await open(`?key=${key}`, {});
      expect([response.status, await response.json()]).toMatchObject([401, { error: { code: "unauthorized" } }]);
    }
  });

  it("refuses more streams of one user than it allows, and frees them when clients leave", async () => {
    const streams = await Promise.all(Array.from({ length: maxStreamsOfUser }, () => open()));
    expect(streams.map(({ response }) => response.status)).toEqual(streams.map(() => 200));
    const { response } = await open();
    expect([response.status, await response.json()]).toMatchObject([
      429,
      { error: { code: "too_many_streams_of_user" } },
    ]);
    expect(response.headers.get("retry-after")).toBe("10");
    expect((await open(`?user=${testUser(7)}`)).response.status).toBe(200);
    streams[0]?.close();
    await until(async () => expect((await open()).response.status).toBe(200));
  });

  it("alone: refuses more streams than the process allows", async () => {
    await start({ env: { KINDLING_MAX_STREAMS: "2" }, workers: false });
    expect((await open()).response.status).toBe(200);
    expect((await open()).response.status).toBe(200);
    const { response } = await open(`?user=${testUser(7)}`);
    expect([response.status, await response.json()]).toMatchObject([503, { error: { code: "too_many_streams" } }]);
  });

  it("alone: does not exist with KINDLING_MAX_STREAMS=0", async () => {
    await start({ env: { KINDLING_MAX_STREAMS: "0" }, workers: false });
    expect((await open()).response.status).toBe(404);
  });

  it("uses one subscription for all streams", async () => {
    // PUBSUB NUMPAT counts those of other test files, which have databases of their own.
    const database = ` db=${new URL(stack.config.redisUrl).pathname.slice(1) || "0"} `;
    const subscriptions = async () => {
      const clients = String(await stack.store.redis.client("LIST")).split("\n");
      return clients.filter((client) => client.includes(database) && client.includes(" psub=1 ")).length;
    };
    const before = await subscriptions();
    const streams = await Promise.all([1, 2, 3].map((n) => open(`?user=${testUser(n)}`)));
    await until(() => expect(streams.every(({ events }) => events.length === 1)).toBe(true));
    expect((await subscriptions()) - before).toBe(1);
  });

  it("alone: keeps one event for a slow client, and sends the latest values once it reads on", async () => {
    await start({ workers: false });
    const { streams, commit } = openStreams(60_000);
    const forUser = { userId: id, lastEventId: undefined, expiresAt: Number.POSITIVE_INFINITY };
    const slow = streams.open(forUser).getReader();
    const quick = streams.open(forUser).getReader();
    const next = async (reader: typeof slow) => {
      for (;;) {
        const text = new TextDecoder().decode((await reader.read()).value);
        const tier = /"tier":"(\w+)"/.exec(text)?.[1];
        if (tier !== undefined) return tier;
      }
    };
    expect(new TextDecoder().decode((await slow.read()).value)).toBe("retry: 3000\n\n");
    // The defaults, for a user without a record.
    expect(await next(quick)).toBe("free");
    for (const tier of ["pro", "free", "enterprise"]) {
      await commit(tier);
      expect(await next(quick)).toBe(tier);
    }
    expect([await next(slow), await next(slow)]).toEqual(["free", "enterprise"]);
    streams.close();
  });

  it("alone: ends streams that cannot hear of commits, and subscribes again for the next ones", async () => {
    await start({ workers: false });
    const errors: unknown[] = [];
    let refusals = 1;
    const connect = () => {
      const redis = new Redis(stack.config.redisUrl);
      if (refusals-- > 0) redis.psubscribe = () => Promise.reject(new Error("NOPERM"));
      return redis;
    };
    const { streams, commit } = openStreams(60_000, undefined, { connect, onError: (error) => errors.push(error) });
    const forUser = { userId: id, lastEventId: undefined, expiresAt: Number.POSITIVE_INFINITY };
    const refused = await Promise.all([1, 2].map(() => new Response(streams.open(forUser)).text()));
    expect(refused).toEqual(["retry: 3000\n\n", "retry: 3000\n\n"]);
    expect(errors).toEqual([new Error("NOPERM")]);
    let text = "";
    const reading = (async () => {
      for await (const piece of streams.open(forUser)) text += new TextDecoder().decode(piece);
    })();
    await until(() => expect(text).toContain("missing"));
    await commit("pro");
    await until(() => expect(text).toContain("pro"));
    streams.close();
    await reading;
  });

  it("alone: sends what it could not read as soon as Redis answers again", async () => {
    await start({ workers: false });
    const wire = await startWire(testRedisUrl());
    const redis = new Redis(wire.url, { enableOfflineQueue: false, retryStrategy: () => 20 });
    redis.on("error", () => undefined);
    await until(() => expect(redis.status).toBe("ready"));
    const { streams, commit } = openStreams(100, redis);
    let text = "";
    const reading = (async () => {
      const forUser = { userId: id, lastEventId: undefined, expiresAt: Number.POSITIVE_INFINITY };
      for await (const piece of streams.open(forUser)) text += new TextDecoder().decode(piece);
    })();
    await until(() => expect(text).toContain("missing"));
    wire.cut();
    await until(() => expect(redis.status).not.toBe("ready"));
    await commit("pro");
    const heartbeats = text.split(":\n\n").length;
    await until(() => expect(text.split(":\n\n").length).toBeGreaterThan(heartbeats + 1));
    expect(text).not.toContain("pro");
    wire.restore();
    await until(() => expect(text).toContain("pro"));
    streams.close();
    await reading;
    redis.disconnect();
    await wire.close();
  });

  it("alone: destroys the connection of a client that takes nothing between two heartbeats", async () => {
    await start({ workers: false });
    const { streams, app, path } = openRoutes(100);
    const socket = new PassThrough();
    await app.request(path, {}, { incoming: { socket } });
    expect(streams.size()).toBe(1);
    await until(() => expect(streams.size()).toBe(0));
    expect([socket.destroyed, socket.listenerCount("close")]).toEqual([true, 0]);
    streams.close();
  });

  it("alone: ends streams whose connection closes, although their answers wait behind another", async () => {
    await start({ workers: false });
    const { streams, app, path } = openRoutes(60_000);
    // Unlike our own server, one that the app is mounted in accepts several requests at once.
    const server = createAdaptorServer({ fetch: app.fetch }).listen(0);
    const socket = connect((server.address() as AddressInfo).port);
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(3));
    await until(() => expect(streams.size()).toBe(3));
    socket.destroy();
    await until(() => expect(streams.size()).toBe(0), 5_000);
    await app.request(path, {}, { incoming: { socket } });
    expect(streams.size()).toBe(0);
    const { status, headers } = await app.request(
      path,
      { method: "HEAD" },
      { incoming: { socket: new PassThrough() } },
    );
    expect([status, headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    expect(streams.size()).toBe(0);
    streams.close();
    server.close();
  });

  it("ends all streams at shutdown, before the process waits for its requests", async () => {
    const stream = await open();
    expect(stream.response.status).toBe(200);
    const closed = stack.close();
    await until(() => expect(stream.ended).toBe(true), 5_000);
    await closed;
    await start({ workers: false });
  });
});

it("alone: sends what changed while Redis was away, and what changes after that", async () => {
  const wire = await startWire(testRedisUrl());
  await start({ redisUrl: wire.url, workers: false });
  const record = (ticket: number, tier: string) =>
    JSON.stringify({ flags: { tier }, status: "present", fetchedAt: Date.now(), ticket, schema: "x" });
  await stack.store.redis.set(stack.store.keys.flags(id), record(1, "free"));
  const stream = await open();
  await until(() => expect(tiers(stream)).toEqual(["free"]));
  wire.cut();
  const direct = new Redis(testRedisUrl());
  await direct.set(stack.store.keys.flags(id), record(2, "pro"));
  direct.disconnect();
  wire.restore();
  await until(() => expect(tiers(stream)).toEqual(["free", "pro"]));
  await stack.store.redis.set(stack.store.keys.flags(id), record(3, "enterprise"));
  await stack.store.redis.publish(stack.store.keys.commits(id), "3");
  await until(() => expect(tiers(stream)).toEqual(["free", "pro", "enterprise"]));
  await stack.close();
  await wire.close();
  await start({ workers: false });
});

it("lets the published web provider follow a change", async () => {
  await refresh();
  const token = await userToken(stack.emulator, id);
  vi.stubGlobal("EventSource", FetchEventSource);
  try {
    await WebOpenFeature.setProviderAndWait(
      new OFREPWebProvider({
        baseUrl: new URL(stack.webhookUrl).origin,
        cacheMode: "disabled",
        headersFactory: async () => [["Authorization", `Bearer ${token}`]],
        // Its optional members are wider than our strict settings allow.
      }) as Provider,
    );
    const client = WebOpenFeature.getClient();
    const changed = vi.fn();
    client.addHandler(ClientProviderEvents.ConfigurationChanged, changed);
    expect(client.getStringValue("tier", "none")).toBe("free");
    await setTier("pro");
    await until(() => expect(client.getStringValue("tier", "none")).toBe("pro"));
    expect(changed).toHaveBeenCalledWith(expect.objectContaining({ flagsChanged: expect.arrayContaining(["tier"]) }));
  } finally {
    await WebOpenFeature.close();
    vi.unstubAllGlobals();
  }
});

/** The part of a browser's `EventSource` that the provider uses, which Node 20 lacks. */
class FetchEventSource extends EventTarget {
  readyState = 0;
  readonly #controller = new AbortController();

  constructor(url: string) {
    super();
    void this.#run(url);
  }

  close() {
    this.readyState = 2;
    this.#controller.abort();
  }

  async #run(url: string) {
    try {
      const response = await fetch(url, { signal: this.#controller.signal });
      this.readyState = 1;
      this.dispatchEvent(new Event("open"));
      let text = "";
      for await (const piece of response.body ?? []) {
        text += new TextDecoder().decode(piece as Uint8Array);
        const blocks = text.split("\n\n");
        text = blocks.pop() ?? "";
        for (const block of blocks) {
          const data = /^data: (.+)$/m.exec(block)?.[1];
          if (data !== undefined) this.dispatchEvent(new MessageEvent("message", { data }));
        }
      }
    } catch {
      this.readyState = 2;
    }
  }
}

describe("the key of a stream", () => {
  const secret = new Uint8Array(32).fill(7);
  const subject = { userId: "kp_1", organization: "org_1" };
  const keyAt = (time: number, used = secret) => {
    const path = createStreamKeys({ secret: used, now: () => time }).pathOf(subject);
    return String(new URL(path, "http://x").searchParams.get("key"));
  };
  const hour = 3_600_000;

  it("is the same for an hour and valid for one to two", () => {
    expect(keyAt(hour)).toBe(keyAt(2 * hour - 1));
    expect(keyAt(hour)).not.toBe(keyAt(2 * hour));
    const openAt = (time: number) => createStreamKeys({ secret, now: () => time }).open(keyAt(hour));
    expect(openAt(3 * hour - 1)).toEqual({ ...subject, expiresAt: 3 * hour });
    expect(openAt(3 * hour)).toBeUndefined();
  });

  it("is refused if anything in it differs", () => {
    const keys = createStreamKeys({ secret, now: () => hour });
    const key = keyAt(hour);
    expect(keys.open(key.replace("kp_1", "kp_2"))).toBeUndefined();
    expect(keys.open(key.replace(".3.", ".9."))).toBeUndefined();
    expect(keys.open(`${key}.x`)).toBeUndefined();
    expect(keys.open(keyAt(hour, new Uint8Array(32)))).toBeUndefined();
  });
});
