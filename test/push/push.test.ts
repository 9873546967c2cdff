import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { Redis } from "ioredis";
import { blankProfile } from "kindling/contract";
import { Webhook } from "standardwebhooks";
import { afterEach, describe, expect, it } from "vitest";
import { eraseUser } from "../../src/maintenance/erase-user.ts";
import { createDeliver } from "../../src/push/deliver.ts";
import { openPushQueues } from "../../src/push/queues.ts";
import { relayChanges } from "../../src/push/relay-changes.ts";
import { envOf, kindling } from "../cli/command-line.ts";
import { type Stack, type StackOptions, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const secret = `whsec_${Buffer.from("a secret of 32 bytes for testing").toString("base64")}`;
const older = `whsec_${Buffer.from("the secret that was used before!").toString("base64")}`;

interface Received {
  headers: IncomingHttpHeaders;
  body: string;
}

interface Receiver {
  url: string;
  received: Received[];
  /** Answers with this status. 0: never answers. */
  status: number;
  close(): void;
}

const receivers: Receiver[] = [];
let stack: Stack | undefined;

afterEach(async () => {
  await stack?.close();
  stack = undefined;
  for (const receiver of receivers.splice(0)) receiver.close();
});

async function startReceiver(path = "/hook"): Promise<Receiver> {
  const server: Server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) body += piece;
    receiver.received.push({ headers: request.headers, body });
    if (receiver.status === 0) return;
    const location = receiver.status === 302 ? { location: `${receiver.url}/elsewhere` } : {};
    response.writeHead(receiver.status, location).end("x".repeat(1_000));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const receiver: Receiver = {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}${path}`,
    received: [],
    status: 200,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
  receivers.push(receiver);
  return receiver;
}

const pushTo = (to: readonly Receiver[]) => ({
  KINDLING_PUSH_URLS: to.map(({ url }) => url).join(),
  KINDLING_PUSH_SECRETS: to.map(() => `${secret} ${older}`).join(),
});

async function start(to: readonly Receiver[], options: StackOptions = {}): Promise<Stack> {
  stack = await startStack({
    ...options,
    env: {
      ...pushTo(to),
      KINDLING_RETRY_BASE: "1ms",
      KINDLING_RETRY_MAX: "5ms",
      KINDLING_PUSH_TIMEOUT: "500ms",
      ...options.env,
    },
  });
  stack.subscribe();
  return stack;
}

const messages = ({ received }: Receiver) => received.map(({ body }) => JSON.parse(body));
const verified = ({ headers, body }: Received, key = secret) =>
  new Webhook(key).verify(body, headers as Record<string, string>);

describe("flags.changed", () => {
  it("arrives with ticket, new and previous flags, signed as standardwebhooks verifies", async () => {
    const receiver = await startReceiver();
    const { emulator, record } = await start([receiver]);
    const { id } = emulator.kinde.createUser({ properties: { plan_tier: "pro" } });
    await until(() => expect(receiver.received).toHaveLength(1));
    const before = await record(id);
    emulator.kinde.suspendUser(id);
    await until(() => expect(receiver.received).toHaveLength(2));

    for (const one of receiver.received) {
      expect(verified(one)).toEqual(JSON.parse(one.body));
      expect(verified(one, older)).toEqual(JSON.parse(one.body));
      expect(() => verified({ ...one, body: one.body.replace("pro", "max") })).toThrow();
    }
    const [created, changed] = messages(receiver);
    expect(created).toMatchObject({
      type: "flags.changed",
      timestamp: expect.stringMatching(/Z$/),
      data: { userId: id, status: "present", flags: { tier: "pro", suspended: false }, previous: null },
    });
    expect(changed.data).toMatchObject({
      flags: { suspended: true },
      previous: { flags: before?.flags, ticket: before?.ticket },
    });
    expect(changed.data.ticket).toBeGreaterThan(created.data.ticket);
    expect(changed.data.sequence > created.data.sequence).toBe(true);
    expect(Object.keys(changed.data)).not.toContain("schema");
  });

  it("leaves nothing behind on the signal that stops the process", async () => {
    const receiver = await startReceiver();
    const { signal } = new AbortController();
    const deliver = createDeliver({ url: receiver.url, secrets: [secret], fetch, now: Date.now, timeoutMs: 5_000 });
    const record = { flags: {}, status: "present", fetchedAt: 1, ticket: 1, schema: "x" } as const;
    await deliver({ id: "1-0", userId: "kp_1", record, previous: null }, signal);
    expect(receiver.received).toHaveLength(1);
    // Signals that were made with `AbortSignal.any`.
    const dependants = Reflect.ownKeys(signal).filter((key) => String(key).includes("Dependant"));
    expect(dependants.flatMap((key) => [...(Reflect.get(signal, key) ?? [])])).toEqual([]);
  });

  it("does not arrive if only the record is newer, and arrives for a deletion", async () => {
    const receiver = await startReceiver();
    const { emulator, record } = await start([receiver]);
    const { id } = emulator.kinde.createUser({});
    await until(() => expect(receiver.received).toHaveLength(1));
    const ticket = (await record(id))?.ticket;
    emulator.kinde.updateUser(id, { firstName: "Grace" });
    await until(async () => expect((await record(id))?.ticket).toBeGreaterThan(Number(ticket)));
    emulator.kinde.deleteUser(id);
    await until(() => expect(receiver.received.length).toBeGreaterThan(1));
    expect(messages(receiver).map(({ data }) => data.status)).toEqual(["present", "deleted"]);
  });

  it("is sent again with the same id until the receiver takes it", async () => {
    const receiver = await startReceiver();
    receiver.status = 500;
    const { emulator } = await start([receiver]);
    emulator.kinde.createUser({});
    await until(() => expect(receiver.received.length).toBeGreaterThan(2));
    receiver.status = 200;
    await until(async () => expect(await stack?.store.queues.pushes[0]?.queue.getJobCountByTypes()).toBe(0));
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
  });

  it("reaches one endpoint while another is dead", async () => {
    const [dead, alive] = [await startReceiver(), await startReceiver()];
    dead.status = 0;
    const { emulator } = await start([dead, alive]);
    for (let n = 0; n < 30; n += 1) emulator.kinde.createUser({});
    await until(() => expect(alive.received.length).toBeGreaterThanOrEqual(30));
  });

  it("is relayed by the next worker if the process died between commit and queue", async () => {
    const receiver = await startReceiver();
    const { emulator, store, startWorkers } = await start([receiver], { workers: false });
    const { id } = emulator.kinde.createUser({});
    await store.records.commit(
      { flags: { tier: "pro" }, status: "present", fetchedAt: 1, ticket: 7, schema: "x" },
      blankProfile(id),
    );
    expect(receiver.received).toHaveLength(0);
    await startWorkers();
    await until(() => expect(messages(receiver)[0]).toMatchObject({ data: { userId: id, ticket: 7 } }));
  });

  it("is relayed again if a relay died before it acknowledged", async () => {
    const receiver = await startReceiver();
    const { store, config } = await start([receiver], { workers: false });
    const { redis, keys } = store;
    const record = { flags: {}, status: "present", fetchedAt: 1, ticket: 7, schema: "x" } as const;
    await store.records.commit(record, blankProfile("kp_1"));
    const [push] = openPushQueues(config.push.endpoints, { redis, keys, onError: () => undefined });
    if (push === undefined) throw new Error("no endpoint");
    await redis.xgroup("CREATE", keys.changes, push.name, "0");
    await redis.xreadgroup("GROUP", push.name, "relay", "STREAMS", keys.changes, ">");
    const [[id = ""] = []] = await redis.xrange(keys.changes, "-", "+");
    // As if the relay had died a minute ago.
    await redis.xclaim(keys.changes, push.name, "relay", 0, id, "IDLE", 60_000);
    const relay = relayChanges({
      redis: new Redis(config.redisUrl, { maxRetriesPerRequest: null }),
      keys,
      push,
      changesKept: 10,
      onError: (error) => expect.unreachable(String(error)),
      onLoss: () => undefined,
    });
    await until(async () => expect((await push.queue.getJobCounts("waiting")).waiting).toBe(1));
    await until(async () => expect((await redis.xpending(keys.changes, push.name))[0]).toBe(0));
    await relay.close();
    await push.queue.close();
  });
});

describe("a receiver that never takes a change", () => {
  it.each([
    [500, "push_refused"],
    [404, "push_refused"],
    [302, "push_refused"],
    [0, "push_failed"],
  ])("with %i ends on the failed list, from which it can be retried", async (status, code) => {
    const receiver = await startReceiver("/hook?key=of-the-url");
    receiver.status = status;
    const { emulator, config, store } = await start([receiver], { env: { KINDLING_REFRESH_ATTEMPTS: "2" } });
    const { id } = emulator.kinde.createUser({});
    const queue = store.queues.pushes[0]?.queue;
    await until(async () => expect(await queue?.getFailedCount()).toBe(1));
    expect(receiver.received).toHaveLength(2);

    const env = { ...envOf(config), ...pushTo([receiver]) };
    const listed = await kindling(["failed", "--json"], env);
    expect({ code: listed.code, stderr: listed.stderr }).toEqual({ code: 1, stderr: "" });
    const { failures } = listed.json as { failures: { member: string }[] };
    expect(failures).toEqual([
      {
        kind: "push",
        member: expect.stringMatching(/^push:[\da-f]{8}:\d+-\d+$/),
        userId: id,
        code,
        message: expect.stringContaining("127.0.0.1"),
        failedAt: expect.any(Number),
        attempts: 2,
      },
    ]);
    expect(listed.stdout).not.toContain("of-the-url");

    receiver.status = 200;
    const member = String(failures[0]?.member);
    expect(await kindling(["failed", "retry", member, "--json"], env)).toMatchObject({ json: { retried: [member] } });
    await until(() => expect(receiver.received).toHaveLength(3));
    await until(async () => expect(await queue?.getJobCountByTypes()).toBe(0));
  });

  it("is forgotten with its user", async () => {
    const receiver = await startReceiver();
    receiver.status = 500;
    const { emulator, store } = await start([receiver], { env: { KINDLING_REFRESH_ATTEMPTS: "1" } });
    const { id } = emulator.kinde.createUser({});
    const queue = store.queues.pushes[0]?.queue;
    await until(async () => expect(await queue?.getFailedCount()).toBe(1));
    expect(await eraseUser(id, store)).toMatchObject({ erased: { records: 2, jobs: 1 }, found: [] });
    expect(await queue?.getFailedCount()).toBe(0);
  });

  it("can be discarded", async () => {
    const receiver = await startReceiver();
    receiver.status = 500;
    const { emulator, config, store } = await start([receiver], { env: { KINDLING_REFRESH_ATTEMPTS: "1" } });
    emulator.kinde.createUser({});
    const queue = store.queues.pushes[0]?.queue;
    await until(async () => expect(await queue?.getFailedCount()).toBe(1));
    const { json } = await kindling(["failed", "discard", "--all", "--json"], {
      ...envOf(config),
      ...pushTo([receiver]),
    });
    expect(json).toMatchObject({ discarded: [expect.stringMatching(/^push:/)] });
    expect(await queue?.getFailedCount()).toBe(0);
  });
});

it("reports when changes left the stream before they were relayed", async () => {
  const receiver = await startReceiver();
  const { store, config } = await start([receiver], {
    workers: false,
    env: { KINDLING_CHANGES_LENGTH: "100" },
  });
  const { redis, keys } = store;
  const [push] = openPushQueues(config.push.endpoints, { redis, keys, onError: () => undefined });
  if (push === undefined) throw new Error("no endpoint");
  for (let ticket = 1; ticket <= 350; ticket += 1) {
    const record = { flags: { ticket }, status: "present", fetchedAt: 1, ticket, schema: "x" } as const;
    await store.records.commit(record, blankProfile("kp_1"));
  }
  let losses = 0;
  const relay = relayChanges({
    redis: new Redis(config.redisUrl, { maxRetriesPerRequest: null }),
    keys,
    push,
    changesKept: config.changesKept,
    onError: (error) => expect.unreachable(String(error)),
    onLoss: () => {
      losses += 1;
    },
  });
  await until(async () =>
    expect((await push.queue.getJobCounts("waiting")).waiting).toBe(await redis.xlen(keys.changes)),
  );
  await relay.close();
  await push.queue.close();
  expect(losses).toBe(1);
});

it("writes no stream and opens no queue without a setting", async () => {
  stack = await startStack({});
  stack.subscribe();
  const { id } = stack.emulator.kinde.createUser({});
  await until(async () => expect(await stack?.record(id)).not.toBeNull());
  expect(await stack.store.redis.exists(stack.store.keys.changes)).toBe(0);
  expect(stack.store.queues.pushes).toEqual([]);
});
